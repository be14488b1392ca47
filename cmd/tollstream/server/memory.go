package server

import (
	"fmt"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// garbage is how much may lie about beside what is in use before it is collected, in percent: a rater keeps its accounts in memory, and
// going through them all at Go's usual 100 takes a tenth of its processor time, with a million accounts two fifths.
const garbage = 300

// memoryShare is the part of the machine's memory, or of its control group's, beyond which this process collects more often than that. The rest
// is for the stores beside it and for files.
const memoryShare = 0.5

// Memory lets this process trade memory for processor time. What the environment says in GOGC and GOMEMLIMIT goes before it.
func Memory(getenv func(string) string) error {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	_, err := memlimit.Set(memlimit.WithRatio(memoryShare), memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)))
	if err != nil {
		return fmt.Errorf("find out how much memory there is: %w; say it: GOMEMLIMIT=4GiB", err)
	}
	return nil
}

package source

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Rules say which files of a place are taken, and when.
type Rules struct {
	Pattern    string // of names, or with a slash of paths; ** stands for any number of folders. Empty: all
	Recursive  bool
	Lookback   time.Duration // what was modified longer ago is left alone; 0: any age
	MinimumAge time.Duration // since it was modified
	Stable     time.Duration // between two looks that found the same size and time; 0: one look is enough
	DoneFile   string        // suffix of an empty file that says that the file beside it is complete
}

// After is what becomes of a file that was processed to its end.
type After struct {
	Do     AfterDo
	Dir    string // below the place, of AfterMove
	Suffix string // of AfterRename
}

// AfterDo is a way to deal with a file.
type AfterDo string

// The ways.
const (
	AfterKeep   AfterDo = ""
	AfterDelete AfterDo = "delete"
	AfterMove   AfterDo = "move"
	AfterRename AfterDo = "rename"
)

// Target is where the n-th attempt, from 0, puts the file: later ones are for when another stands there.
func (a After) Target(of, hash string, n int) string {
	to := of + a.Suffix
	if a.Do == AfterMove {
		to = path.Join(a.Dir, of)
	}
	switch {
	case n == 0:
		return to
	case n == 1:
		return to + "." + hash[:min(len(hash), 12)]
	}
	return fmt.Sprintf("%s.%s.%d", to, hash[:min(len(hash), 12)], n)
}

// own says that the path is one at which After put a file.
func (a After) own(p string) bool {
	switch a.Do {
	case AfterMove:
		return strings.HasPrefix(p, a.Dir+"/")
	case AfterRename:
		at := strings.LastIndex(path.Base(p), a.Suffix)
		return at >= 0 && behindSuffix.MatchString(path.Base(p)[at+len(a.Suffix):])
	}
	return false
}

// behindSuffix is what Target writes behind a suffix.
var behindSuffix = regexp.MustCompile(`^(\.[0-9a-f]{1,12}(\.[0-9]+)?)?$`)

// Check says what is wrong with the rules: the member and the reason.
func (r *Rules) Check(a After) (member, message string) {
	clean := a.Dir == "" || CheckPath(a.Dir) == nil
	return first(
		"pattern", unless(patternError(r.Pattern) == nil, "is no pattern; use * ? [a-z] in names, / between folders, and up to 4 times ** for any number of folders"),
		"done_file", unless(!strings.ContainsAny(r.DoneFile, "/\\"), "must be the end of a name, like .done"),
		"after.move", unless(a.Do != AfterMove || a.Dir != "" && clean, "must be a folder below the source's, without . and .."),
		"after.rename", unless(a.Do != AfterRename || a.Suffix != "" && !strings.ContainsAny(a.Suffix, "/\\"), "must be the end of a name, like .done"),
		"after.rename", unless(a.Do != AfterRename || a.Suffix != r.DoneFile, "must differ from done_file"))
}

// maxAnyFolders bounds the ways in which a pattern can be spread over a path.
const maxAnyFolders = 4

func patternError(pattern string) error {
	if strings.Count(pattern, "**") > maxAnyFolders {
		return fmt.Errorf("more than %d times **", maxAnyFolders)
	}
	for part := range strings.SplitSeq(pattern, "/") {
		if _, err := path.Match(part, ""); err != nil {
			return fmt.Errorf("pattern %q: %w", pattern, err)
		}
		if part == "" && pattern != "" {
			return errors.New("a pattern has no empty parts")
		}
	}
	return nil
}

// Deep says that the folders of the place have to be listed as well.
func (r *Rules) Deep() bool { return r.Recursive || strings.Contains(r.Pattern, "/") }

// Matches says whether the pattern stands for the path. A pattern without a slash looks at the name.
func (r *Rules) Matches(p string) bool {
	switch {
	case r.Pattern == "":
		return true
	case !strings.Contains(r.Pattern, "/"):
		ok, err := path.Match(r.Pattern, path.Base(p))
		return ok && err == nil
	}
	return matches(strings.Split(r.Pattern, "/"), strings.Split(p, "/"))
}

func matches(pattern, parts []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for len(pattern) > 1 && pattern[1] == "**" { // several in a row are as good as one, and cost more
				pattern = pattern[1:]
			}
			for i := range len(parts) + 1 {
				if matches(pattern[1:], parts[i:]) {
					return true
				}
			}
			return false
		}
		if len(parts) == 0 {
			return false
		}
		if ok, err := path.Match(pattern[0], parts[0]); !ok || err != nil {
			return false
		}
		pattern, parts = pattern[1:], parts[1:]
	}
	return len(parts) == 0
}

// Verdict is what the rules say about an entry.
type Verdict string

// The verdicts.
const (
	Take Verdict = "take"
	Wait Verdict = "wait" // it may not be complete yet
	Old  Verdict = "old"  // modified before the lookback
)

// Judged is an entry that the pattern stands for. Until is when a waiting one may be ready, zero where only
// another file can tell.
type Judged struct {
	Entry
	Verdict Verdict
	Until   time.Time
}

// Select judges the entries of a listing, in the order of their paths. seen gives since when an entry is
// what it is, as far as earlier looks know.
func (r *Rules) Select(entries []Entry, a After, seen func(Entry) (since time.Time, known bool), now time.Time) []Judged {
	complete := map[string]bool{}
	if r.DoneFile != "" {
		for _, e := range entries {
			if of, ok := strings.CutSuffix(e.Path, r.DoneFile); ok {
				complete[of] = true
			}
		}
	}
	var out []Judged
	for _, e := range entries {
		if !r.Matches(e.Path) || a.own(e.Path) || r.DoneFile != "" && strings.HasSuffix(e.Path, r.DoneFile) {
			continue
		}
		out = append(out, r.judge(e, complete, seen, now))
	}
	slices.SortFunc(out, func(a, b Judged) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func (r *Rules) judge(e Entry, complete map[string]bool, seen func(Entry) (time.Time, bool), now time.Time) Judged {
	dated := !e.Modified.IsZero() // not every server says when
	if r.Lookback > 0 && dated && now.Sub(e.Modified) > r.Lookback {
		return Judged{Entry: e, Verdict: Old}
	}
	var until time.Time
	if r.MinimumAge > 0 && dated {
		until = e.Modified.Add(r.MinimumAge)
	}
	if r.Stable > 0 || r.MinimumAge > 0 && !dated {
		since, known := seen(e)
		if !known {
			since = now
		}
		until = latest(until, since.Add(max(r.Stable, 0)))
		if !dated {
			until = latest(until, since.Add(r.MinimumAge))
		}
	}
	switch {
	case r.DoneFile != "" && !complete[e.Path]:
		return Judged{Entry: e, Verdict: Wait}
	case until.After(now):
		return Judged{Entry: e, Verdict: Wait, Until: until}
	}
	return Judged{Entry: e, Verdict: Take}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

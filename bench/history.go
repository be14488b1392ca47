package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// historyTable shows how the cost of an event goes on.
const historyTable = "Processor time as history grows, µs an event"

// slice is a day of log time.
type slice struct {
	sample
	memory float64 // bytes of this process at its end
}

// warmDays are rated before the first day that counts: caches fill and the servers compile what they run often.
const warmDays = 3

// measureHistory rates day after day of log time, the same number of events in each, and asks whether an event costs more as
// the history that stands in memory and in the stores grows. The publisher's timestamps make log time pass: the topic
// takes them, which tollstream accepts on a development machine only.
func measureHistory(ctx context.Context, c *corner, s settings, out *report) error {
	r, err := newRig(ctx, c, s)
	if err != nil {
		return err
	}
	defer func() { out.warn(c.clean()) }()
	defer r.close()
	if err := r.datedByPublisher(ctx); err != nil {
		return err
	}
	perDay := max(s.History/s.Days, 1)
	warm := &stream{accounts: r.events.accounts, start: time.Now().UnixNano(), every: int64(time.Microsecond), stamped: true}
	r.events = warm
	for range warmDays {
		if _, err := r.day(ctx, s, perDay); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
	}
	r.events = &stream{
		accounts: warm.accounts, at: warm.at, start: time.Now().Add(time.Minute).UnixNano() - int64(warm.at)*int64(24*time.Hour)/int64(perDay),
		every: int64(24*time.Hour) / int64(perDay), stamped: true,
	}
	var days []slice
	for n := range s.Days {
		day, err := r.day(ctx, s, perDay)
		if err != nil {
			return fmt.Errorf("day %d: %w", n+1, err)
		}
		days = append(days, day)
	}
	out.add(historyMeasures(days)...)
	return r.checkRated(ctx, (warmDays+s.Days)*perDay)
}

// datedByPublisher lets the publisher's timestamps count, and keeps records until forgetRecords.
func (r *rig) datedByPublisher(ctx context.Context) error {
	set := func(key, value string) kadm.AlterConfig {
		return kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: &value}
	}
	return r.c.administer(func(admin *kadm.Client) error {
		answers, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{
			set("message.timestamp.type", "CreateTime"), set("message.timestamp.after.max.ms", strconv.FormatInt(math.MaxInt64, 10)),
			set("segment.bytes", strconv.Itoa(64<<20)), set("retention.ms", "-1"),
		}, r.usage)
		for _, a := range answers {
			if err == nil {
				err = a.Err
			}
		}
		if err != nil {
			return fmt.Errorf("let the publisher's time count in %s: %w", r.usage, err)
		}
		return nil
	})
}

// day fills in a day's events and rates them.
func (r *rig) day(ctx context.Context, s settings, events int) (slice, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*roundTimeout)
	defer cancel()
	_, end, err := r.fill(ctx, events, s.Batch)
	if err != nil {
		return slice{}, err
	}
	rated, err := r.c.timed(ctx, s, events, func() (time.Duration, error) { return r.rate(ctx, end) })
	if err != nil {
		return slice{}, err
	}
	return slice{rated, resident()}, r.forgetRecords(ctx, end)
}

// forgetRecords deletes what was rated from both topics, so that a long history fits on a disk.
func (r *rig) forgetRecords(ctx context.Context, end offsets) error {
	rated, err := r.c.ends(ctx, r.rated)
	if err != nil {
		return err
	}
	return r.c.administer(func(admin *kadm.Client) error {
		below := kadm.Offsets{}
		for p, o := range end {
			below.AddOffset(r.usage, p, o, -1)
		}
		for p, o := range rated {
			below.AddOffset(r.rated, p, o, -1)
		}
		answers, err := admin.DeleteRecords(ctx, below)
		if err == nil {
			err = answers.Error()
		}
		if err != nil {
			return fmt.Errorf("delete rated records: %w", err)
		}
		return nil
	})
}

// checkRated makes sure that every event was rated: a cheap refusal would look like speed.
func (r *rig) checkRated(ctx context.Context, want int) error {
	var got int
	if err := r.pool.QueryRow(ctx, "SELECT coalesce(sum(rated), 0) FROM rater_count").Scan(&got); err != nil {
		return fmt.Errorf("count what was rated: %w", err)
	}
	if got != want {
		return fmt.Errorf("%d events were rated, not %d", got, want)
	}
	return nil
}

// resident is the memory of this process, 0 where there is no /proc.
func resident() float64 {
	b, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(b)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(string(fields[1]), 64)
	return pages * float64(os.Getpagesize())
}

// trendOf says how much a figure grew from the first day to the last, as a share of its mean, with the bounds between which
// that lies with 95% confidence.
func trendOf(daily []float64) (growth, low, high float64) {
	slope, error95 := regression(daily)
	m := mean(daily)
	if m == 0 {
		return 0, 0, 0
	}
	span := float64(len(daily)-1) / m
	return slope * span, (slope - error95) * span, (slope + error95) * span
}

// regression fits a line through figures one step apart and returns its slope and half of the slope's 95% interval.
func regression(y []float64) (slope, error95 float64) {
	n := float64(len(y))
	if n < 3 {
		return 0, math.Inf(1)
	}
	middle, m := (n-1)/2, mean(y)
	var sxx, sxy float64
	for i, v := range y {
		dx := float64(i) - middle
		sxx, sxy = sxx+dx*dx, sxy+dx*(v-m)
	}
	slope = sxy / sxx
	var rest float64
	for i, v := range y {
		d := v - m - slope*(float64(i)-middle)
		rest += d * d
	}
	return slope, studentT(n-2) * math.Sqrt(rest/(n-2)/sxx)
}

// studentT is the 97.5% quantile of Student's distribution, by its expansion around the normal one (Abramowitz and
// Stegun 26.7.5); for three degrees of freedom it is 1% too small, for ten exact to four digits.
func studentT(freedom float64) float64 {
	const z = 1.959963985
	const z3 = z * z * z
	const z5, z7 = z3 * z * z, z3 * z3 * z
	return z + ((z3+z)/4+((5*z5+16*z3+3*z)/96+(3*z7+19*z5+17*z3-15*z)/384/freedom)/freedom)/freedom
}

// daysInRow are how many days one row of the table takes together.
const daysInRow = 5

func historyMeasures(days []slice) (out []measure) {
	var f figure
	var memory []float64
	for _, d := range days {
		f.add(d.sample)
		memory = append(memory, d.memory/(1<<20))
	}
	columns := map[string][]float64{partSelf: f.self, partAll: f.all}
	maps.Copy(columns, f.server)
	order := append([]string{partSelf}, append(slices.Sorted(maps.Keys(f.server)), partAll)...)
	for _, part := range order {
		growth, low, high := trendOf(columns[part])
		m := measure{
			Name: fmt.Sprintf("an event's cost over %d days, %s: growth", len(days), part), Unit: "%",
			Median: 100 * growth, Min: 100 * low, Max: 100 * high, Samples: columns[part],
		}
		if part == partAll {
			m.Goal = "flat: no growth within the 95% interval"
			m = m.judge(low <= 0).note("%d events a day of log time, %d in all; the figures beside the median are the bounds of the interval. "+
				"The samples in the JSON are µs an event by day", days[0].events, days[0].events*len(days))
		}
		out = append(out, m)
	}
	out = append(out, measured(fmt.Sprintf("memory of this process over %d days, smallest and largest", len(days)), "MiB", memory))
	for from := 0; from < len(days); from += daysInRow {
		to := min(from+daysInRow, len(days))
		name := fmt.Sprintf("days %d to %d", from+1, to)
		for _, part := range order {
			out = append(out, measured(name+": "+part, "µs/event", columns[part][from:to]).in(historyTable, name, part))
		}
		out = append(out, measured(name+": memory", "MiB", memory[from:to]).in(historyTable, name, "memory, MiB"))
	}
	return out
}

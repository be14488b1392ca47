package format

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
)

// Step is a simple transform.
type Step struct {
	Op      StepOp
	A, B    string
	By      money.Decimal     // of StepMultiply, StepDivide and StepUnit
	Over    money.Decimal     // of StepUnit: what is divided by, behind it
	Table   map[string]string // of StepLookup
	Pattern *regexp.Regexp    // of StepMatch
	Group   int               // of Pattern
	Default bool              // B stands for what the table does not have, what does not match; else the record is a bad one
}

// StepOp names a transform.
type StepOp string

// The transforms. Numbers are exact up to the 12th decimal, where they are rounded half away from zero.
const (
	StepTrim        StepOp = "trim"  // white space at both ends
	StepUpper       StepOp = "upper" // capital letters
	StepLower       StepOp = "lower"
	StepStripPrefix StepOp = "strip_prefix" // A, if it is there
	StepStripSuffix StepOp = "strip_suffix"
	StepReplace     StepOp = "replace"  // every A by B
	StepMultiply    StepOp = "multiply" // a number, by By: 0.001, 60
	StepDivide      StepOp = "divide"
	StepUnit        StepOp = "unit"   // from one unit to another
	StepLookup      StepOp = "lookup" // what Table, called A, has for the text
	StepMatch       StepOp = "match"  // what Group of Pattern is in the text
)

func (w *mapping) step(what string, s *Step, text string, code usage.Code) string {
	switch s.Op {
	case StepTrim:
		return strings.TrimSpace(text)
	case StepUpper:
		return strings.ToUpper(text)
	case StepLower:
		return strings.ToLower(text)
	case StepStripPrefix:
		return strings.TrimPrefix(text, s.A)
	case StepStripSuffix:
		return strings.TrimSuffix(text, s.A)
	case StepReplace:
		return strings.ReplaceAll(text, s.A, s.B)
	case StepLookup:
		found, ok := s.Table[text]
		if !ok {
			return w.otherwise(s, code, fmt.Sprintf("%s %q does not stand in the table %s", what, cut(text), s.A))
		}
		return found
	case StepMatch:
		found := s.Pattern.FindStringSubmatchIndex(text)
		if found == nil || found[2*s.Group] < 0 {
			return w.otherwise(s, code, fmt.Sprintf("%s %q does not match %s", what, cut(text), s.Pattern))
		}
		return text[found[2*s.Group]:found[2*s.Group+1]]
	case StepMultiply, StepDivide, StepUnit:
		return w.scale(what, s, text, code)
	}
	return text
}

// otherwise gives the step's default, or makes the row a bad one.
func (w *mapping) otherwise(s *Step, code usage.Code, message string) string {
	if !s.Default {
		w.row.Fail(code, message)
	}
	return s.B
}

// scale multiplies or divides a number.
func (w *mapping) scale(what string, s *Step, text string, code usage.Code) string {
	d, message := usage.ParseNumber(what, w.m.notation.number(text))
	if message == "" {
		var err error
		switch s.Op {
		case StepMultiply:
			d, err = d.Mul(s.By)
		case StepDivide:
			d, err = d.Div(s.By)
		default:
			if d, err = d.Mul(s.By); err == nil {
				d, err = d.Div(s.Over)
			}
		}
		if err != nil {
			message = fmt.Sprintf("%s %s: %s by %s is too large", what, cut(text), s.Op, s.By)
		}
	}
	if message != "" {
		w.row.Fail(code, message)
		return ""
	}
	return w.m.notation.write(d) // the rest reads numbers in the file's notation
}

// write writes a number as the file does, without grouping.
func (n *Notation) write(d money.Decimal) string {
	if n.Decimal == "." {
		return d.String()
	}
	return strings.Replace(d.String(), ".", n.Decimal, 1)
}

// units are what can be converted into one another: how many of the smallest of their kind each has.
var units = []map[string]int64{
	{ // bits
		"bit": 1, "kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9, "Tbit": 1e12, "Kibit": 1 << 10, "Mibit": 1 << 20, "Gibit": 1 << 30, "Tibit": 1 << 40,
		"byte": 8, "kB": 8e3, "MB": 8e6, "GB": 8e9, "TB": 8e12, "PB": 8e15, "KiB": 8 << 10, "MiB": 8 << 20, "GiB": 8 << 30, "TiB": 8 << 40, "PiB": 8 << 50,
	},
	{ // nanoseconds
		"nanosecond": 1, "microsecond": 1e3, "millisecond": 1e6, "second": 1e9, "minute": 60e9, "hour": 3600e9, "day": 86400e9, "week": 604800e9,
	},
	{"joule": 1, "kJ": 1e3, "MJ": 1e6, "GJ": 1e9, "Wh": 3600, "kWh": 3600e3, "MWh": 3600e6, "GWh": 3600e9}, // joules
	{"byte_second": 1, "byte_hour": 3600, "GB_hour": 3600e9, "GiB_second": 1 << 30, "GiB_hour": 3600 << 30, "GiB_day": 86400 << 30},
	{"milligram": 1, "gram": 1e3, "kilogram": 1e6, "tonne": 1e9},
	{"millilitre": 1, "litre": 1e3, "cubic_metre": 1e6},
	{"millimetre": 1, "metre": 1e3, "kilometre": 1e6},
	{"one": 1, "thousand": 1e3, "million": 1e6, "billion": 1e9},
}

// Convert gives what a number of units is to be multiplied and then divided by, exactly, to be one of others.
func Convert(from, to string) (by, over money.Decimal, message string) {
	for _, kind := range units {
		a, ok := kind[from]
		if !ok {
			continue
		}
		b, ok := kind[to]
		if !ok {
			return by, over, fmt.Sprintf("%q cannot be made %q; it can be %s", from, to, strings.Join(slices.Sorted(maps.Keys(kind)), ", "))
		}
		common := a
		for rest := b; rest != 0; {
			common, rest = rest, common%rest
		}
		return money.FromInt(a / common), money.FromInt(b / common), ""
	}
	var known []string
	for _, kind := range units {
		known = append(known, slices.Sorted(maps.Keys(kind))...)
	}
	return by, over, fmt.Sprintf("unknown unit %q; known are %s", from, strings.Join(known, ", "))
}

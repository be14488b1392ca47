package collector

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Threshold is how many of a run's rows may be bad before it stops. The zero value is no bound.
type Threshold struct {
	Set     bool
	Rows    int64 // at most
	Percent int64 // or at most this share of the rows; above 0
}

// judgedFrom is how many rows a run has before a share of them is judged, unless the file ends earlier.
const judgedFrom = 1000

// exceeded says why the run is to stop; ended tells that there are no more rows.
func (t Threshold) exceeded(c *Counts, ended bool) error {
	switch {
	case !t.Set:
	case t.Percent == 0 && c.Rejected > t.Rows:
		return fmt.Errorf("%d of %d rows are bad, and errors.at_most allows %d; the next run of the file goes on behind them", c.Rejected, c.Rows, t.Rows)
	case t.Percent > 0 && (ended || c.Rows >= judgedFrom) && c.Rejected*100 > c.Rows*t.Percent:
		return fmt.Errorf("%d of %d rows are bad, and errors.at_most allows %d%%; the next run of the file goes on behind them", c.Rejected, c.Rows, t.Percent)
	}
	return nil
}

// threshold reads {at_most: 1000} or {at_most: 5%}.
func (d *reading) threshold(t *Threshold, path string, node *yaml.Node) {
	var most string
	before := len(d.problems)
	if d.object(path, node, member{"at_most", d.text(&most)}); len(d.problems) > before {
		return
	}
	digits, share := strings.CutSuffix(most, "%")
	n, err := strconv.ParseInt(digits, 10, 32)
	switch {
	case err != nil || n < 0 || share && (n < 1 || n > 99):
		d.fail(joined(path, "at_most"), node, "must be a number of rows from 0, or a share from 1%% to 99%%")
	case share:
		*t = Threshold{Set: true, Percent: n}
	default:
		*t = Threshold{Set: true, Rows: n}
	}
}

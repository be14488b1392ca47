package invoicer

import (
	"context"
	"fmt"
	"slices"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// Quote says what a usage event would cost on its account's line as it stands, and why. Nothing is recorded.
type Quote struct {
	Charge      money.Fixed       `json:"charge" doc:"what the event would cost"`
	Currency    string            `json:"currency"`
	Account     string            `json:"account"`
	Billed      string            `json:"billed_account"`
	Product     string            `json:"product"`
	Package     *string           `json:"package"`
	Period      Period            `json:"period" doc:"that the event would fall in"`
	Explanation *QuoteExplanation `json:"explanation,omitempty" doc:"left out where it was not asked for"`
}

// QuoteExplanation is how the charge comes about.
type QuoteExplanation struct {
	Rate   Rate              `json:"rate" doc:"that answered"`
	Asked  []Asked           `json:"asked" doc:"the levels in the order in which they were asked"`
	Before money.Fixed       `json:"before" doc:"the line's amount without the event"`
	Shared string            `json:"shared,omitempty" doc:"whose tiers these are, where the line has them together with others"`
	After  money.Fixed       `json:"after" doc:"the line's amount with it; the charge is the difference"`
	Charge *Arithmetic       `json:"charge" doc:"the arithmetic of the difference"`
	Line   price.Explanation `json:"line" doc:"the arithmetic of the amount with the event"`
}

// Arithmetic is that of a charge, in numbers that a customer can check by hand.
type Arithmetic struct {
	Equation string       `json:"equation" doc:"what the line comes to after it, less what it came to before"`
	Short    string       `json:"short" doc:"what remains where the same terms stand on both sides"`
	Steps    []price.Step `json:"steps" doc:"of the short form, each with the tier or price that it is of"`
}

func arithmeticOf(c price.ChargeExplanation) *Arithmetic {
	return &Arithmetic{Equation: c.Equation, Short: c.Short, Steps: c.Steps}
}

// Asked is one level of the pricing hierarchy that was asked.
type Asked struct {
	Level    string `json:"level"`
	Account  string `json:"account,omitempty"`
	Rate     string `json:"rate,omitempty"`
	Why      string `json:"why"`
	Answered bool   `json:"answered"`
}

// Quote prices an event that is not recorded, on the line as it is priced under the newest definitions. Errors: ErrAccountUnknown, ErrProductUnknown, ErrNoPrice.
func (d *Desk) Quote(ctx context.Context, e usage.Event) (*Quote, error) {
	t, err := d.Trial(ctx, Conditions{State: true})
	if err != nil {
		return nil, err
	}
	return t.Rate(ctx, e)
}

// bind gives a stored line's segments their rates under the plan's definitions; a rate that is gone from them keeps the prices that the
// segment was last priced under.
func (d *Desk) bind(ctx context.Context, plan *catalog.Plan, l *rater.LineState) ([]price.Segment, error) {
	stored, err := rater.DecodeSegments(l.Segments)
	if err != nil {
		return nil, fmt.Errorf("line %s: %w", l.Line, err)
	}
	segments := make([]price.Segment, 0, len(stored)+1)
	for _, s := range stored {
		if !s.Pool.IsZero() {
			continue // priced with what others use, see shared
		}
		priced, ok := s.Priced(plan, l)
		if !ok {
			old, err := d.plan(ctx, s.Seq, l.Account)
			if err != nil {
				return nil, fmt.Errorf("line %s: %w", l.Line, err)
			}
			if priced, ok = s.Priced(old, l); !ok {
				return nil, fmt.Errorf("line %s: rate %q of %s %q is gone from the definitions at %d and at %d", l.Line, s.Rate, s.Owner.Kind, s.Owner.ID, plan.Seq(), s.Seq)
			}
		}
		segments = append(segments, priced)
	}
	slices.SortFunc(segments, price.CompareSegments)
	return segments, nil
}

func askedOf(steps []catalog.Step) []Asked {
	asked := make([]Asked, 0, len(steps))
	for _, s := range steps {
		asked = append(asked, Asked{Level: string(s.Level), Account: s.Account, Rate: s.RateID, Why: s.Why, Answered: s.Answered})
	}
	return asked
}

package price

import (
	"github.com/tollstream/tollstream/rater/catalog"
)

// addMoney adds one more event, by its money value: its amount, else its quantity, which dynamic does not take
// for money.
func (s *State) addMoney(r *catalog.Rate, in *Input) error {
	if r.Aggregation != catalog.AggregationSum && r.Aggregation != "" {
		return unsupported(r, "aggregation of money", string(r.Aggregation))
	}
	v := in.Money
	if !in.HasMoney {
		if r.Model == catalog.ModelDynamic {
			return ErrNoAmount
		}
		v = in.Quantity
	}
	if p := r.Percentage; r.Model == catalog.ModelPercentage && p != nil && p.InLogOrder() {
		if err := addCharge(p, s, in.Before, v); err != nil {
			return err
		}
	}
	return s.add(v)
}

// InLogOrder says whether r prices an event by what was rated before it, so that Aggregate needs [Input.Before].
func InLogOrder(r *catalog.Rate) bool {
	return r.WholeEvents || r.Model == catalog.ModelPercentage && r.Percentage != nil && r.Percentage.InLogOrder()
}

// OfMoney says whether r prices the money values of events: their amounts, which Input.Money gives in the rate's currency.
func OfMoney(r *catalog.Rate) bool { return ofMoney(r) }

// QuantityAlone says whether of what an event brings, Aggregate under r looks at the quantity alone.
func QuantityAlone(r *catalog.Rate) bool {
	return kindOf(r) == kindQuantity && !r.WholeEvents && !r.ProrateByDay
}

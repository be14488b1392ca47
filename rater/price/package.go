package price

import (
	"fmt"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// packageTotal: ceil((q − free) / size) × price, nothing up to the free units.
func packageTotal(r *catalog.Rate, q money.Decimal) (money.Decimal, error) {
	packages, err := packagesOf(r, q)
	if err != nil {
		return money.Decimal{}, err
	}
	return packages.Mul(r.Price)
}

func packagesOf(r *catalog.Rate, q money.Decimal) (money.Decimal, error) {
	if r.Size.Sign() <= 0 {
		return money.Decimal{}, unsupported(r, "package size", r.Size.String())
	}
	beyond, err := q.Sub(r.Free)
	if err != nil || beyond.Sign() <= 0 {
		return money.Decimal{}, err
	}
	return money.CeilDiv(beyond, r.Size)
}

func packageTerms(r *catalog.Rate, q money.Decimal) []term {
	packages, err := packagesOf(r, q)
	if err != nil {
		return nil
	}
	label := fmt.Sprintf("packages of %s", r.Size)
	if !r.Free.IsZero() {
		label += fmt.Sprintf(", after %s free", r.Free)
	}
	return []term{{label: label, units: packages, price: r.Price}}
}

package main

import "math/big"

// owed is what an account's events add up to, worked out from the catalogue's words in load.go and nothing of the rater's.
type owed struct {
	product  string
	events   int64
	quantity *big.Rat
	amount   *big.Rat
}

// sums are what the events that a stream has given so far come to, by account.
func sums(s *stream) map[string]owed {
	counts := make([]int64, len(s.accounts))
	for at := range s.at {
		counts[at*stride%len(counts)]++
	}
	out := map[string]owed{}
	for n, events := range counts {
		if events == 0 {
			continue
		}
		q := new(big.Rat).Mul(big.NewRat(5, 2), big.NewRat(events, 1)) // 2.5 each
		o := owed{events: events, quantity: q}
		switch n % 4 {
		case 0:
			o.product, o.amount = "calls", graduated(q)
		case 1:
			o.product, o.amount = "data", new(big.Rat).Mul(q, big.NewRat(2, 1000))
		case 2:
			o.product, o.amount = "traffic", byVolume(q)
		case 3:
			o.product, o.amount = "texts", packages(q)
		}
		out[s.accounts[n]] = o
	}
	return out
}

// graduated: 0.05 up to 1,000, 0.04 from there up to 10,000, 0.03 beyond.
func graduated(q *big.Rat) *big.Rat {
	sum := new(big.Rat)
	for _, tier := range []struct{ from, to, hundredths int64 }{{0, 1000, 5}, {1000, 10_000, 4}, {10_000, 1 << 60, 3}} {
		part := new(big.Rat).Sub(least(q, big.NewRat(tier.to, 1)), big.NewRat(tier.from, 1))
		if part.Sign() > 0 {
			sum.Add(sum, part.Mul(part, big.NewRat(tier.hundredths, 100)))
		}
	}
	return sum
}

// byVolume: all at 0.06 up to 1,000, at 0.05 up to 5,000, else at 0.04.
func byVolume(q *big.Rat) *big.Rat {
	price := big.NewRat(4, 100)
	if q.Cmp(big.NewRat(5000, 1)) <= 0 {
		price = big.NewRat(5, 100)
	}
	if q.Cmp(big.NewRat(1000, 1)) <= 0 {
		price = big.NewRat(6, 100)
	}
	return new(big.Rat).Mul(q, price)
}

// packages: the first 50 are free, each begun hundred of the others costs 1.20.
func packages(q *big.Rat) *big.Rat {
	beyond := new(big.Rat).Sub(q, big.NewRat(50, 1))
	if beyond.Sign() <= 0 {
		return new(big.Rat)
	}
	hundreds := beyond.Quo(beyond, big.NewRat(100, 1))
	begun, rest := new(big.Int).QuoRem(hundreds.Num(), hundreds.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		begun.Add(begun, big.NewInt(1))
	}
	return new(big.Rat).Mul(new(big.Rat).SetInt(begun), big.NewRat(12, 10))
}

func least(a, b *big.Rat) *big.Rat {
	if a.Cmp(b) < 0 {
		return a
	}
	return b
}

// matches says whether a stored line is exactly what is owed.
func (o owed) matches(product string, events int64, quantity, amount string) bool {
	q, ok := new(big.Rat).SetString(quantity)
	if !ok {
		return false
	}
	a, ok := new(big.Rat).SetString(amount)
	return ok && product == o.product && events == o.events && q.Cmp(o.quantity) == 0 && a.Cmp(o.amount) == 0
}

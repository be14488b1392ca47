package sink

import (
	"context"
	"fmt"
	"strconv"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
)

// History reads stored activities whole, for rating them again.
type History interface {
	// Extent tells how far the periods of usage in the query's time reach, which the other questions need.
	Extent(ctx context.Context, q HistoryQuery) (Extent, error)
	// AccountCounts counts the activities of at most limit accounts after the one given, in order of their ids. What a sink inserted twice
	// may count twice.
	AccountCounts(ctx context.Context, q HistoryQuery, after string, limit int) ([]AccountCount, error)
	// History calls each for the activities of the accounts from first through last, each account's in log order, every activity once;
	// with InLogOrder all in that order.
	// What each is given is overwritten by the next; its texts are not.
	History(ctx context.Context, q HistoryQuery, first, last string, each func(*Stored) error) error
	// Sums adds up what History gives, every activity once, apart by all that Summed says beside the sums: by attributes only by those of the
	// names. It calls each in the order of account and product; what each is given is overwritten by the next, its texts are not.
	Sums(ctx context.Context, q HistoryQuery, first, last string, names []string, each func(*Summed) error) error
}

// HistoryQuery asks for the activities of the billing periods that have a part of [From, To): instants. The periods are whole.
type HistoryQuery struct {
	Account  string // who used; empty: everybody
	From, To int64
	Extent   Extent   // as Extent answered
	Products []string // of which; empty: all
	Accounts []string // whose; empty: all

	InLogOrder bool // of all accounts together, instead of one account after the other; of History
}

// Extent is how far the periods reach whose usage has event times in the query's time.
type Extent struct {
	First int64 // the earliest start of one
	End   int64 // the latest end of one; as First: there is no such usage
}

// AccountCount is how many activities an account has.
type AccountCount struct {
	Account    string
	Activities int64
}

// Stored is what stands of an activity in the report store, as much as rating it again takes.
type Stored struct {
	Place
	Kind     activity.Kind
	Event    usage.Event // the product by its id; of adjustments what they say
	Charge   money.Decimal
	Currency string

	// The exchange rates that the charge rests on, none in most.
	AmountExchange money.Exchange // turned the event's amount into the currency of the rate
	RateExchange   money.Exchange // turned the rate's prices into Currency
	RateCurrency   string         // of the rate, where it is not Currency
	RateID         string         // where there is one of these
}

// Summed is what stored activities of one account, product, billing period of usage and so on add up to.
type Summed struct {
	Account, Product string
	Package          string // that the events name
	Attributes       []usage.Attribute
	Currency         string // of Charge
	Kind             activity.Kind

	Activities  int64
	First, Last int64 // event times
	Quantity    money.Decimal
	Lowest      money.Decimal // the lowest quantity
	Magnitude   money.Decimal // the sum of the quantities without their signs
	Charge      money.Decimal
	Highest     money.Decimal // the largest charge without its sign: so many times it, if that is too large, the sum may be wrong
}

// Validate says what is wrong with the question.
func (q HistoryQuery) Validate() error {
	if q.From >= q.To {
		return fmt.Errorf("%w: to must lie after from", ErrQuery)
	}
	return nil
}

// Texts is a list of texts that a store may hand over as one: the length of each in bytes, a colon, and the text.
type Texts []string

// Split reads such a list into the place of this one.
func (t *Texts) Split(joined string) error {
	list := (*t)[:0]
	for rest := joined; rest != ""; {
		colon := 0
		for colon < len(rest) && rest[colon] != ':' {
			colon++
		}
		n, err := strconv.Atoi(rest[:colon])
		if err != nil || n < 0 || colon+1+n > len(rest) {
			return fmt.Errorf("read a list of texts: %q is none", joined)
		}
		list, rest = append(list, rest[colon+1:colon+1+n]), rest[colon+1+n:]
	}
	*t = list
	return nil
}

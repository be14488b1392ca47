package main

import (
	"context"
	"fmt"
	"iter"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	ckafka "github.com/tollstream/tollstream/collector/kafka"
	"github.com/tollstream/tollstream/rater/catalog"
	catalogpg "github.com/tollstream/tollstream/rater/catalog/pg"
)

// bigBook is a generated catalogue: every product has tiers, every account a number, a product and a package, every tenth a
// contract that names one of a hundred classes.
type bigBook struct{ accounts, products, part int }

const (
	bookClasses  = 100
	bookPackages = 1000
	contractsFor = 10 // one account in so many has a contract
)

// documents are the shared definitions, then the accounts with their contracts in parts.
func (b bigBook) documents() iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(b.shared()) {
			return
		}
		for from := 0; from < b.accounts; from += b.part {
			if !yield(b.people(from, min(from+b.part, b.accounts))) {
				return
			}
		}
	}
}

func (b bigBook) shared() string {
	var out strings.Builder
	out.WriteString(`{"currency":"EUR","seller":{"id":"main","name":"Bench"},"products":[`)
	for i := range b.products {
		fmt.Fprintf(&out, `%s{"id":"p-%05d","name":"Product %d","unit":"unit","identifiers":["sku.%d"],"rates":[{"model":"graduated",`+
			`"tiers":[{"up_to":1000,"unit_price":0.05},{"up_to":10000,"unit_price":0.04},{"unit_price":0.03}]}]}`, comma(i), i, i, i)
	}
	out.WriteString(`],"rate_classes":[`)
	for i := range bookClasses {
		fmt.Fprintf(&out, `%s{"id":"class-%d","rates":[`, comma(i), i)
		for j := range min(100, b.products) {
			fmt.Fprintf(&out, `%s{"product":"p-%05d","model":"per_unit","unit_price":0.0%d}`, comma(j), (i*100+j)%b.products, i+1)
		}
		out.WriteString(`]}`)
	}
	out.WriteString(`],"packages":[`)
	for i := range bookPackages {
		fmt.Fprintf(&out, `%s{"id":"pack-%d","products":[`, comma(i), i)
		for j := range min(10, b.products) {
			fmt.Fprintf(&out, `%s{"product":"p-%05d","rates":[{"model":"per_unit","unit_price":0.045}]}`, comma(j), (i*10+j)%b.products)
		}
		out.WriteString(`]}`)
	}
	out.WriteString(`]}`)
	return out.String()
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

func (b bigBook) people(from, to int) string {
	var out strings.Builder
	out.WriteString(`{"accounts":[`)
	for i := from; i < to; i++ {
		fmt.Fprintf(&out, `%s{"id":%q,"name":"Customer %d","time_zone":"Europe/Berlin","cycle":{"every":"monthly","anchor_day":1},"terms_days":30,"identifiers":["+49%09d"],`+
			`"products":[{"product":"p-%05d","start":"2026-01-01"}],"packages":[{"package":"pack-%d","start":"2026-01-01"}]}`,
			comma(i-from), accountID(i), i, i, i%b.products, i%bookPackages)
	}
	out.WriteString(`],"contracts":[`)
	for n, i := 0, from; i < to; i++ {
		if i%contractsFor == 0 {
			fmt.Fprintf(&out, `%s{"id":"c-%d","account":%q,"start":"2026-01-01","end":"2027-01-01","rate_class":"class-%d"}`, comma(n), i, accountID(i), i/contractsFor%bookClasses)
			n++
		}
	}
	out.WriteString(`]}`)
	return out.String()
}

// changesOfOne is how many changes of one account are timed.
const changesOfOne = 20

// measureCatalog times a large catalogue from its documents' text until every partition has acknowledged it, and then one
// account's change in its midst.
func measureCatalog(ctx context.Context, c *corner, s settings, out *report) (err error) {
	book := bigBook{s.CatalogAccounts, s.CatalogProducts, s.CatalogPart}
	topic := c.name + "-definitions"
	if err := c.pair(ctx, topic, topic+"-rated", s.Partitions); err != nil {
		return err
	}
	defer func() { out.warn(c.clean()) }()
	pool, err := c.pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	producer, err := ckafka.New(ctx, ckafka.Config{Brokers: c.kafka, Topic: topic, Log: quiet()})
	if err != nil {
		return err
	}
	defer producer.Close()
	publisher, err := catalogpg.NewPublisher(catalogpg.New(pool, time.Now), producer, catalogpg.PublisherConfig{Partitions: s.Partitions}, quiet())
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { _ = publisher.Run(running) }) // its errors are those of ApplyAndPublish
	defer wait.Wait()
	defer stop()

	before := c.cpu()
	largest, began := 0, time.Now()
	all := func() (err error) {
		largest, err = applyBook(ctx, publisher, book)
		return err
	}
	if s.Profile == "" {
		err = all()
	} else {
		var profile []byte
		if profile, err = profileOf(all); err == nil {
			err = os.WriteFile(s.Profile+".catalog", profile, 0o600)
		}
	}
	if err != nil {
		return err
	}
	took, used := time.Since(began), c.cpu().minus(before)
	var memory syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &memory); err != nil {
		return fmt.Errorf("read this process's memory: %w", err)
	}
	if _, err := pool.Exec(ctx, "ANALYZE"); err != nil { // as autovacuum does in a while
		return fmt.Errorf("analyse: %w", err)
	}
	one, err := changeAccounts(ctx, publisher, book)
	if err != nil {
		return err
	}
	name := "catalogue: "
	out.add(
		measured(name+"all of it applied and published", "s", []float64{took.Seconds()}).goal("≤ 60").
			note("%d products, %d accounts in documents of %d, the largest %.0f MB; %d partitions; each is made and parsed while the one before is written, as of requests that come at once; until every partition acknowledged it; processor: this process %.0f s, PostgreSQL %.0f s",
				book.products, book.accounts, book.part, float64(largest)/1e6, s.Partitions, used.self.Seconds(), used.servers["postgres"].Seconds()),
		measured(name+"memory of the process that applies, at most", "GiB", []float64{float64(memory.Maxrss) * 1024 / (1 << 30)}),
		measured(name+"one account's change active", "s", one).goal("≤ 1").note("with all of it in place"),
	)
	return nil
}

// applyBook applies all of a book and gives the bytes of its largest document. Each is made and parsed while the one before is written.
func applyBook(ctx context.Context, publisher *catalogpg.Publisher, book bigBook) (largest int, err error) {
	ahead, parsing := errgroup.WithContext(ctx)
	parsed := make(chan *catalog.Document)
	ahead.Go(func() error {
		defer close(parsed)
		for text := range book.documents() {
			largest = max(largest, len(text))
			doc, err := catalog.ParseDocument("bench.json", []byte(text))
			if err != nil {
				return err
			}
			select {
			case parsed <- doc:
			case <-parsing.Done():
				return nil
			}
		}
		return nil
	})
	ahead.Go(func() error {
		for doc := range parsed {
			if _, err := publisher.ApplyAndPublish(parsing, doc); err != nil {
				return err
			}
		}
		return nil
	})
	err = ahead.Wait()
	return largest, err
}

// changeAccounts gives the seconds until each of a few changes, of one account, is active.
func changeAccounts(ctx context.Context, publisher *catalogpg.Publisher, book bigBook) (seconds []float64, err error) {
	for i := range changesOfOne {
		began := time.Now()
		account := accountID(book.accounts / (i + 2))
		text := fmt.Sprintf(`{"accounts":[{"id":%q,"name":"Changed %d","products":[{"product":"p-%05d","rates":[{"model":"per_unit","unit_price":0.0%d}]}]}]}`,
			account, i, i%book.products, i+1)
		doc, err := catalog.ParseDocument("bench.json", []byte(text))
		if err != nil {
			return nil, err
		}
		if _, err := publisher.ApplyAndPublish(ctx, doc); err != nil {
			return nil, err
		}
		seconds = append(seconds, time.Since(began).Seconds())
	}
	return seconds, nil
}

package main

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/api"
)

func TestCatalogRates(t *testing.T) {
	const days = "Date, USD, JPY, CYP, \n20 November 2026, 1.1592, 181.20, N/A, \n19 November 2026, 1.15, N/A, 0.58, \n"
	w := newWorld(t)
	w.applied = api.Applied{Seq: 7, Changes: []api.Change{{Action: "created", Kind: "exchange_rates", ID: "EUR@2026-11-20"}}}
	code, out, _ := w.tollstream(t, "", "catalog", "rates", write(t, "eurofxref.csv", days))
	check(t, "rates", code, 0, out, "2 days from 2026-11-19 to 2026-11-20: 1 new, 0 changed, 1 as they were (definitions 7)\n", "passed over, not in use: CYP\n")
	want := `{"exchange_rates":[{"base":"EUR","date":"2026-11-20","rates":{"JPY":"181.2","USD":"1.1592"}},{"base":"EUR","date":"2026-11-19","rates":{"USD":"1.15"}}]}`
	if d := w.documents[0]; string(d.Body) != want || d.Format != api.FormatJSON {
		t.Errorf("the server got %s: %s", d.Format, d.Body)
	}

	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	if f, err := z.Create("eurofxref.csv"); err != nil {
		t.Fatal(err)
	} else if _, err := f.Write([]byte(days)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	code, out, _ = w.tollstream(t, "", "catalog", "rates", "--dry-run", "--from", "2026-11-20", "--base", "CHF", write(t, "rates.zip", archive.String()))
	check(t, "rates of an archive", code, 0, out, "1 days from 2026-11-20", "nothing was written")
	if d := w.documents[1]; !strings.Contains(string(d.Body), `"base":"CHF"`) {
		t.Errorf("the server got %s", d.Body)
	}

	for _, c := range []struct {
		args []string
		text string
		want string
	}{
		{[]string{"-"}, "Date,USD\n2026-11-20,x\n", "standard input:2: USD must be a decimal number above 0"},
		{[]string{"-"}, "<html>", "must begin with the header"},
		{[]string{"-", "--from", "2027-01-01"}, days, "it has no day with a rate from 2027-01-01 on"},
		{[]string{"-", "--from", "soon"}, days, "--from"},
		{[]string{"-"}, "PK\x03\x04 cut off", "read the archive"},
	} {
		code, _, stderr := w.tollstream(t, c.text, append([]string{"catalog", "rates"}, c.args...)...)
		if code == 0 || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: exit code %d, %q; want %q", c.args, code, stderr, c.want)
		}
	}
	if len(w.documents) != 2 {
		t.Errorf("%d documents were sent", len(w.documents))
	}
}

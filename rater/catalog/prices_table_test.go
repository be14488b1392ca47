package catalog

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// written gives a price list's first definition as JSON, with the document that it becomes taken for granted.
func written(t *testing.T, list string) string {
	t.Helper()
	s, err := ParseCSV("p.csv", []byte(list))
	if err != nil {
		t.Fatal(err)
	}
	return sheetText(s)
}

// sheetText fills a sheet in where nothing is there, and gives the rates of all definitions, or what is refused.
func sheetText(s *Sheet) string {
	doc, err := ParsePrices("p.csv", s)
	if err == nil {
		err = doc.fillGranted()
	}
	if err != nil {
		return strings.ReplaceAll(err.Error(), "p.csv:", "")
	}
	var out []string
	doc.eachRate(func(d *rateDef) {
		text := string(terms(d))
		if d.Product != "" {
			text = d.Product + " " + text
		}
		out = append(out, strings.NewReplacer(`"`, "").Replace(text))
	})
	return strings.Join(out, "\n")
}

// TestPriceRows: what rows become, by themselves and under one another.
func TestPriceRows(t *testing.T) {
	for _, c := range []struct{ name, list, want string }{
		{"a model goes on", "product,model,up_to,unit_price\nf,volume,10,1\n,,,2\n", "{model:volume,tiers:[{up_to:10,unit_price:1},{unit_price:2}]}"},
		{"a product without one begins anew", "product,model,up_to,unit_price\nf,volume,10,1\nf,,,2\n", "{model:volume,tiers:[{up_to:10,unit_price:1},{unit_price:2}]}"},
		{"a unit price alone", "product,unit_price\nf,1\n", "{model:per_unit,unit_price:1}"},
		{"a flat price needs a model", "product,unit_price,flat_price\nf,1,2\n", "2: model: is missing: use one of " + listed(models, ", ")},
		{"as does an amount", "product,amount\nf,1\n", "2: model: is missing: use one of " + listed(models, ", ")},
		{"with a model it needs no unit price", "product,model,amount\nf,flat,1\n", "{model:flat,amount:1}"},
		{"two models of one rate are all that is said", "product,model,up_to,unit_price,included\nf,graduated,10,1,x\nf,volume,,1,y\n", `3: model (column B): is "volume" here and "graduated" in line 2, and the rate is the same: give each a start or a currency of its own, or leave one out`},
		{"rates that differ by currency, start, end and id", "product,unit_price,currency,start,end,id\nf,1,EUR,,,a\nf,2,USD,,,a\nf,3,EUR,2026-01-01,,a\nf,4,EUR,,2026-01-01,a\nf,5,EUR,,,b\n", `{model:per_unit,currency:EUR,unit_price:1}
{model:per_unit,currency:USD,unit_price:2}
{model:per_unit,currency:EUR,unit_price:3}
{model:per_unit,currency:EUR,unit_price:4}
{model:per_unit,currency:EUR,unit_price:5}`},
		{"what the row above said again", "product,currency,model,up_to,unit_price\nf,EUR,graduated,10,1\n,EUR,,,2\n", "{model:graduated,currency:EUR,tiers:[{up_to:10,unit_price:1},{unit_price:2}]}"},
		{"something else is all that is said", "product,currency,model,up_to,unit_price\nf,EUR,graduated,10,1\n,USD,volume,,2\n", `3: currency (column B): is "USD" and the row has no product: name the product, or leave both empty where the rate of the row above goes on`},
		{"a match that holds nothing", "product,match.d,match.e,unit_price\nf,x,,1\n", "{model:matrix,dimensions:[{name:d}],prices:[{match:{d:x},model:per_unit,unit_price:1}]}"},
		{"how it matches", "product,match.d by prefix,match.size.from,match.size.to,match.night.from by time_of_day,match.night.to by time_of_day,unit_price\nf,x,1,2.5,22:00,06:00,1\n",
			"{model:matrix,dimensions:[{name:d,by:prefix},{name:size,by:range},{name:night,by:time_of_day}],prices:[{match:{d:x,night:{from:22:00,to:06:00},size:{from:1,to:2.5}},model:per_unit,unit_price:1}]}"},
		{"a dimension called x.from", "product,match.x.from,dimensions,unit_price\nf,a,x.from,1\n", "{model:matrix,dimensions:[{name:x.from}],prices:[{match:{x.from:a},model:per_unit,unit_price:1}]}"},
		{"a dimension called x.from, in JSON", "product,match.x.from,dimensions,unit_price\nf,a,\"[\"\"x.from\"\"]\",1\n", "{model:matrix,dimensions:[{name:x.from}],prices:[{match:{x.from:a},model:per_unit,unit_price:1}]}"},
		{"a dimension called .from", "product,match..from,unit_price\nf,a,1\n", "{model:matrix,dimensions:[{name:.from}],prices:[{match:{.from:a},model:per_unit,unit_price:1}]}"},
		{"dimensions in words", "product,match.d,match.n,dimensions,unit_price\nf,x,2,d by prefix from dialled | n,1\n", "2: dimensions (column D): must be one of exact, prefix, range, time_of_day, weekday, not \"prefix from dialled\""},
		{"dimensions as they are exported", "product,match.d,match.n,dimensions,unit_price\nf,x,2, d  from dialled by prefix| n ,1\n", "{model:matrix,dimensions:[{name:d,from:dialled,by:prefix},{name:n}],prices:[{match:{d:x,n:2},model:per_unit,unit_price:1}]}"},
		{"several values", "product,match.d,unit_price\nf,b|a\\||\\s|\\\\,1\n", `{model:matrix,dimensions:[{name:d}],prices:[{match:{d:[ ,\\,a|,b]},model:per_unit,unit_price:1}]}`},
		{"what is no escape", "product,match.d,unit_price\nf,a\\b\\,1\n", `{model:matrix,dimensions:[{name:d}],prices:[{match:{d:a\\b\\},model:per_unit,unit_price:1}]}`},
		{"what holds for all of a matrix, in a row of its own", "product,model,match.d,unit_price,maximum,time_weighted_level,aggregation,rounding.mode,rounding.on\nf,matrix,,,9,absolute,time_weighted,ceil,event\nf,per_unit,x,1,,,,,\n",
			"{model:matrix,dimensions:[{name:d}],prices:[{match:{d:x},model:per_unit,unit_price:1}],maximum:9,aggregation:time_weighted,level:absolute,rounding:{mode:ceil,on:event}}"},
		{"or in each of its prices", "product,match.d,unit_price,aggregation,rounding.mode,rounding.on\nf,x,1,count,ceil,event\nf,y,2,count,ceil,event\n",
			"{model:matrix,dimensions:[{name:d}],prices:[{match:{d:x},model:per_unit,unit_price:1},{match:{d:y},model:per_unit,unit_price:2}],aggregation:count,rounding:{mode:ceil,on:event}}"},
		{"and differs in one", "product,match.d,unit_price,rounding.mode\nf,x,1,ceil\nf,y,2,floor\n", `3: rounding.mode (column D): is "floor" here and "ceil" in line 2: all prices of a matrix have it together`},
		{"prices without dimensions that are said", "product,match.d,dimensions,unit_price\nf,x,d,1\nf,y,,2\n", "{model:matrix,dimensions:[{name:d}],prices:[{match:{d:x},model:per_unit,unit_price:1},{match:{d:y},model:per_unit,unit_price:2}]}"},
		{"a match that is there three times", "product,match.d,unit_price\nf,a,1\nf,a,2\nf,a,x\n", "3: product (column A): matches the same as line 2: leave one of the two out"},
		{"a row that is there three times", "product,unit_price\nf,1\nf,2\nf,x\n", "3: product (column A): is there twice with the same level, owner, currency and start, in line 2 too: give one of them another start or currency, or leave it out"},
		{"a bound of no tier", "product,model,up_to\nf,custom,5\n", "2: up_to (column C): is part of a tier, and the model custom has none: use a model with tiers such as graduated, or empty the cell"},
		{"the model alone is wrong", "product,model,unit_price\nf,unheard,5\n", "2: model (column B): must be one of " + listed(models, ", ") + ", not \"unheard\""},
		{"tiers of a percentage", "product,model,up_to,rate,bounds\nf,graduated_percentage,10,2,half_open\n,,,1,\n", "{model:graduated_percentage,tiers:[{up_to:10,rate:2},{rate:1}],bounds:half_open}"},
		{"a class's name is no part of it", "level,owner,product,unit,unit_price\nrate_class,gold,f,GB,1\n", "2: unit (column D): is no part of a price of the level rate_class: leave it empty"},
		{"a unit twice the same", "product,unit,model,up_to,unit_price\nf,GB,graduated,1,1\nf,GB,graduated,,2\n", "{model:graduated,tiers:[{up_to:1,unit_price:1},{unit_price:2}]}"},
		{"a model goes on to the next match", "product,match.d,model,amount\nf,x,flat,1\n,y,,2\n", "{model:matrix,dimensions:[{name:d}],prices:[{match:{d:x},model:flat,amount:1},{match:{d:y},model:flat,amount:2}]}"},
		{"unless there is another", "product,match.d,model,amount\nf,x,flat,1\n,y,dynamic,\n", "{model:matrix,dimensions:[{name:d}],prices:[{match:{d:x},model:flat,amount:1},{match:{d:y},model:dynamic}]}"},
		{"and that of the whole does not", "product,match.d,model,unit_price,maximum\nf,,matrix,,9\n,x,,1,\n", "{model:matrix,dimensions:[{name:d}],prices:[{match:{d:x},model:per_unit,unit_price:1}],maximum:9}"},
		{"a mistake in the default", "product,match.d,unit_price\nf,x,1\nf,,much\n", `3: unit_price (column C): must be a decimal number such as 0.10, not "much"`},
		{"a matrix of no prices", "product,model,dimensions\nf,matrix,d\n", "2: products[0].rates[0].prices: is missing: the model matrix needs it"},
		{"capital letters behind a dot", "product,unit_price,Rounding.Mode\nf,1,ceil\n", "{model:per_unit,unit_price:1,rounding:{mode:ceil}}"},
		{"a name that is said once", "product,name,model,up_to,unit_price\nf,a,graduated,1,1\nf,,graduated,,2\n", "{model:graduated,tiers:[{up_to:1,unit_price:1},{unit_price:2}]}"},
		{"truth", "product,model,split,up_to,unit_price\nf,graduated,FALSE,1,1\n,,,,2\n", "{model:graduated,tiers:[{up_to:1,unit_price:1},{unit_price:2}],split:false}"},
		{"limits", "product,id,model,pool,price,limits.a,limits.b\nf,x,capacity,account,\"3\",\"1,000.0\",5\nf,x,capacity,account,4,,\n", "{model:capacity,tiers:[{price:3,limits:{a:1000,b:5}},{price:4}],pool:account}"},
		{"parameters", "product,model,method,parameters.by\nf,custom,half,3\n", "{model:custom,method:half,parameters:{by:3}}"},
		{"names of columns as people write them", "Product, Unit Price ,Rate ID,MATCH.d by prefix\nf,1,x,4\n", "{model:matrix,dimensions:[{name:d,by:prefix}],prices:[{match:{d:4},model:per_unit,unit_price:1}]}"},
		{"a column that is not known is all that is said", "colour,unit_price\nx,1\n", "1: column A: \"colour\" is not known here: known are level, owner, since, package, product, name, unit, id, currency, start, end, " + strings.Join(rateColumns, ", ") + ", match.NAME, limits.PRODUCT, parameters.NAME"},
		{"a dotted column that is not known", "product,colour.of,unit_price\nf,x,1\n", "1: column B: \"colour.of\" is not known here: known are level, owner, since, package, product, name, unit, id, currency, start, end, " + strings.Join(rateColumns, ", ") + ", match.NAME, limits.PRODUCT, parameters.NAME"},
		// Whose price it is.
		{"a package of a list price", "package,product,unit_price\nk,f,1\n", "2: package (column A): is no part of a price of the level product_default: leave it empty"},
		{"since of a list price", "since,product,unit_price\n2026-01-01,f,1\n", "2: since (column A): is no part of a price of the level product_default: leave it empty"},
		{"a package of a class", "level,owner,package,product,unit_price\nrate_class,gold,k,f,1\n", "2: package (column C): is no part of a price of the level rate_class: leave it empty"},
		{"a contract without a name", "level,product,unit_price\ncontract,f,1\n", "2: owner: is missing: a price of the level contract needs it"},
		{"since of a contract", "level,owner,since,product,unit_price\ncontract,c,2026-01-01,f,1\n", "2: since (column C): is no part of a price of the level contract: leave it empty"},
		{"an account without a name", "level,product,unit_price\naccount_product,f,1\n", "2: owner: is missing: a price of the level account_product needs it"},
		{"a package of an account's product", "level,owner,package,product,unit_price\naccount_product,a,k,f,1\n", "2: package (column C): is no part of a price of the level account_product: leave it empty"},
		{"an account's package without the account", "level,package,product,unit_price\naccount_package_product,k,f,1\n", "2: owner: is missing: a price of the level account_package_product needs it"},
		{"prices at all levels", "level,owner,since,package,product,unit_price\nproduct_default,,,,f,1\nrate_class,gold,,,f,2\npackage_default,k,,,f,3\naccount_product,a,,,f,4\naccount_product,a,2026-01-01,,g,5\naccount_package_product,a,,k,f,6\naccount_package_product,a,2026-01-01,m,f,7\ncontract,c,,,f,8\ncontract,c,,k,f,9\n",
			"{model:per_unit,unit_price:1}\nf {model:per_unit,unit_price:2}\n{model:per_unit,unit_price:3}\n{model:per_unit,unit_price:4}\n{model:per_unit,unit_price:5}\nf {model:per_unit,unit_price:6}\nf {model:per_unit,unit_price:7}\nf {model:per_unit,unit_price:8}\nf {model:per_unit,unit_price:9}"},
	} {
		if got := written(t, c.list); got != c.want {
			t.Errorf("%s:\n%s\ngot\n%s\nwant\n%s", c.name, c.list, got, c.want)
		}
	}
}

// TestStoredPriceCells: what a spreadsheet stored in cells of its own kinds.
func TestStoredPriceCells(t *testing.T) {
	header := SheetRow{1, []Cell{{Text: "product"}, {Text: "unit_price"}, {Text: "start"}, {Text: "match.d"}}}
	sheet := func(cells ...Cell) *Sheet { return &Sheet{Rows: []SheetRow{header, {2, cells}}} }
	text := func(s string) Cell { return Cell{Text: s} }
	number := func(s string) Cell { return Cell{Text: s, Kind: CellNumber} }
	for name, c := range map[string]struct {
		sheet *Sheet
		want  string
	}{
		"a number and a date":                 {sheet(text("f"), number("7.0000000000000007E-2"), number("46357")), "{model:per_unit,unit_price:0.07}"},
		"a time of a day":                     {sheet(text("f"), number("1"), number("46357.5")), "2: start (column C): must be a date (2026-01-31) or an instant (2026-01-31T10:00:00Z), not the number 46357.5: format the cell as a date without a time, or as text"},
		"an error":                            {sheet(text("f"), Cell{"#REF!", CellError}), "2: unit_price (column B): holds the error #REF!: correct the formula, or write the value"},
		"a prefix of fifteen digits":          {sheet(text("f"), number("1"), text(""), number("123456789012345")), "{model:matrix,dimensions:[{name:d}],prices:[{match:{d:123456789012345},model:per_unit,unit_price:1}]}"},
		"a prefix of sixteen digits":          {sheet(text("f"), number("1"), text(""), number("1234567890123456")), "2: match.d (column D): is the number 1234567890123456, of which a spreadsheet keeps 15 digits: format the cell as text and write it again"},
		"zeros behind it do not count":        {sheet(text("f"), number("1"), text(""), number("1000000000000000000")), "{model:matrix,dimensions:[{name:d}],prices:[{match:{d:1000000000000000000},model:per_unit,unit_price:1}]}"},
		"a price of seventeen digits":         {sheet(text("f"), number("0.28999999999999998")), "{model:per_unit,unit_price:0.29}"},
		"a number that is none":               {sheet(text("f"), number("1.2.3")), `2: unit_price (column B): must be a decimal number such as 0.10, not "1.2.3"`},
		"a stored number tells no mark":       {&Sheet{Rows: []SheetRow{header, {2, []Cell{text("f"), number("0.5")}}, {3, []Cell{text("g"), text("0,25")}}}}, "{model:per_unit,unit_price:0.5}\n{model:per_unit,unit_price:0.25}"},
		"a cell without a name tells no mark": {&Sheet{Rows: []SheetRow{header, {2, []Cell{text("f"), text("1"), text(""), text(""), text("0.5")}}}}, `2: column E: holds "0.5" and has no name in the header: name it, or empty its cells`},
		"words tell no mark":                  {&Sheet{Rows: []SheetRow{header, {2, []Cell{text("f"), text("0,25"), text(""), text("0.5")}}}}, "{model:matrix,dimensions:[{name:d}],prices:[{match:{d:0.5},model:per_unit,unit_price:0.25}]}"},
	} {
		if got := sheetText(c.sheet); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
	long := &Sheet{Rows: make([]SheetRow, maxSheetRows+1)}
	if got := sheetText(long); got != fmt.Sprintf(" has more than %d rows: split it into several files", maxSheetRows) {
		t.Error(got)
	}
	long.Rows = long.Rows[1:] // all of them empty
	if got := sheetText(long); got != " has no prices: want a header such as product, model, unit_price and a row for each price" {
		t.Error(got)
	}
}

// TestMissingOfPrices: what must be read before a price list can be filled in, in two steps.
func TestMissingOfPrices(t *testing.T) {
	s, err := ParseCSV("p.csv", []byte("level,owner,package,product,unit_price\n,,,f,1\nrate_class,gold,,f,2\nrate_class,gold,,g,2\npackage_default,k,,f,3\naccount_product,a,,f,4\ncontract,c,,f,8\ncontract,d,,f,8\n"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := ParsePrices("p.csv", s)
	if err != nil {
		t.Fatal(err)
	}
	settings := Ref{KindSettings, settingsID}
	all := []Ref{settings, {KindProduct, "f"}, {KindRateClass, "gold"}, {KindPackage, "k"}, {KindAccount, "a"}, {KindContract, "c"}, {KindContract, "d"}}
	rows := map[Ref]Row{}
	if got := doc.Missing(rows); !reflect.DeepEqual(got, all) {
		t.Errorf("first %v, want %v", got, all)
	}
	for _, ref := range all {
		rows[ref] = Row{Ref: ref, Seq: 1, Body: []byte(`{"id":"` + ref.ID + `"}`)}
	}
	rows[Ref{KindContract, "c"}] = Row{Ref: Ref{KindContract, "c"}, Seq: 1, Body: []byte(`{"id":"c","account":"b"}`)}
	if got := doc.Missing(rows); !slices.Equal(got, []Ref{{KindAccount, "b"}}) {
		t.Errorf("then %v, want the contract's account", got)
	}
	rows[Ref{KindAccount, "b"}] = Row{Ref: Ref{KindAccount, "b"}, Seq: 1, Body: []byte(`{"id":"b"}`)}
	if got := doc.Missing(rows); len(got) > 0 {
		t.Errorf("at last %v", got)
	}
	plain, err := ParseDocument("d.yaml", []byte("currency: EUR"))
	if err != nil {
		t.Fatal(err)
	}
	if got := plain.Missing(nil); len(got) > 0 {
		t.Errorf("a document misses %v", got)
	}
}

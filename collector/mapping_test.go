package collector

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/format"
	"github.com/tollstream/tollstream/collector/usage"
)

// mapped reads a file by a configuration: each event in a line, each bad row with its code and reason, filtered rows counted.
func mapped(t *testing.T, document, content string) string {
	t.Helper()
	c, err := ParseConfig([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	mapper := format.NewMapper(&c.Mapping, c.Format.Notation(), "f")
	records, err := c.Format.Open(format.Plain(strings.NewReader(content), int64(len(content))), mapper.Paths(), format.Start)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	var row format.Row
	filtered := 0
	for {
		if err := records.Next(&row); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		events := mapper.Map(&row, nil)
		for i := range events {
			out.WriteString(shown(&events[i]) + "\n")
		}
		switch {
		case row.Code != "":
			fmt.Fprintf(&out, "line %d: %s: %s\n", row.Line, row.Code, row.Message)
		case len(events) == 0:
			filtered++
		}
	}
	if filtered > 0 {
		fmt.Fprintf(&out, "filtered %d\n", filtered)
	}
	return out.String()
}

func shown(s *usage.Sent) string {
	parts := []string{s.ID, s.Account, s.Product}
	if s.HasQuantity {
		parts = append(parts, s.Quantity.String())
	}
	if s.HasAmount {
		parts = append(parts, s.Amount.String()+s.Currency)
	}
	if s.HasTime {
		parts = append(parts, time.Unix(0, s.Time).UTC().Format(time.RFC3339Nano))
	}
	for _, a := range s.Attributes {
		parts = append(parts, a.Name+"="+a.Value)
	}
	return strings.Join(parts, " ")
}

const csv = "format: {type: delimited}\n"

func TestMappings(t *testing.T) {
	for name, c := range map[string]struct{ document, content, want string }{
		"expressions": {
			csv + `mapping: {id: {expression: 'record["a"] + "-" + record.b'}, account: {expression: record.a.upper()}, product: {value: p}, quantity: {expression: 'decimal(record.n) / 1024'}}`,
			"a,b,n\nx,1,1\ny,2,many\nz,3,\n,4,1\n",
			"x-1 X p 0.0009765625\n" +
				"line 3: quantity_invalid: quantity: number \"many\" is not a decimal number like 3 or \"2.5\" (no unit, spaces or separators)\n" +
				"line 4: quantity_invalid: quantity: there is no number in an empty text\n" +
				"line 5: account_missing: ",
		},
		"expressions by number, defaults and null": {
			"format: {type: delimited, header: false, null: [NULL]}\n" +
				`mapping: {account: {expression: 'record[1]', default: nobody}, product: {value: p}, quantity: {expression: 'record[2] == "" ? 0.5 : decimal(record[2])'}}`,
			"NULL,NULL\na,3\n", "f:1 nobody p 0.5\nf:2 a p 3\n",
		},
		"numbers as the file writes them": {
			"format: {type: delimited, delimiter: ';', decimal: ',', thousands: '.'}\n" +
				`mapping: {account: {from: a}, product: {value: p}, quantity: {expression: 'decimal(record.n) * 1.5', transform: {divide: 0.5}}, attributes: {net: {expression: 'text(decimal(record.n))'}}}`,
			"a;n\nx;1.000,5\n", "f:2 x p 3001.5 net=1000.5\n",
		},
		"filter": {
			csv + `filter: 'record.state == "ok" && decimal(record.n) > 1'` + "\nmapping: {account: {from: a}, product: {value: p}, quantity: {from: n}}",
			"a,state,n\nx,ok,2\ny,failed,no number\nz,ok,1\nw,ok,no number\n",
			"f:2 x p 2\nline 5: row_invalid: filter: number \"no number\" is not",
		},
		"lookup": {
			"tables: {kinds: {1: voice, 2: data}}\n" + csv + `mapping: {account: {from: a}, product: {from: k, transform: {lookup: {table: kinds}}}, attributes: {kind: {from: k, transform: {lookup: {table: kinds, default: other}}}}}`,
			"a,k\nx,1\ny,3\nz,2\n",
			"f:2 x voice kind=voice\nline 3: product_invalid: product \"3\" does not stand in the table kinds\nf:4 z data kind=data\n",
		},
		"lookup with an empty default": {
			"tables: {kinds: {1: voice}}\n" + csv + `mapping: {account: {from: a}, product: {value: p}, attributes: {kind: {from: k, transform: {lookup: {table: kinds, default: ""}}, default: none}}}`,
			"a,k\nx,7\n", "f:2 x p kind=none\n",
		},
		"match": {
			csv + `mapping: {account: {from: a, transform: {match: '^([a-z]+)-(\d+)$', group: 2}}, product: {value: p}, attributes: {n: {from: a, transform: {match: '\d{3}', default: none}}, o: {from: a, transform: {match: '(x)?-', group: 1, default: none}}}}`,
			"a\ncust-17\n17\ncust-1234\nx-1\n",
			"f:2 17 p n=none o=none\nline 3: account_invalid: account \"17\" does not match ^([a-z]+)-(\\d+)$\nf:4 1234 p n=123 o=none\nf:5 1 p n=none o=x\n",
		},
		"divide and units": {
			csv + `mapping: {account: {from: a}, product: {value: p}, quantity: {from: n, transform: {divide: 3}}, attributes: ` +
				`{gib: {from: n, transform: {unit: {from: byte, to: GiB}}}, bits: {from: n, transform: {unit: {from: GB, to: kbit}}}, minutes: {from: n, transform: {unit: {from: second, to: minute}}}, kwh: {from: n, transform: {unit: {from: MJ, to: kWh}}}, days: {from: n, transform: {unit: {from: week, to: day}}}}}`,
			// 1 byte is 1/1073741824 = 0.00000000093132… GiB; 1 GB is 8,000,000 kbit; 1 MJ is 1/3.6 kWh.
			"a,n\nx,1\ny,-9\nz,0\nw,1e15\n",
			"f:2 x p 0.333333333333 bits=8000000 days=7 gib=0.000000000931 kwh=0.277777777778 minutes=0.016666666667\n" +
				"f:3 y p -3 bits=-72000000 days=-63 gib=-0.000000008382 kwh=-2.5 minutes=-0.15\n" +
				"f:4 z p 0 bits=0 days=0 gib=0 kwh=0 minutes=0\n" +
				"f:5 w p 333333333333333.333333333333 bits=8000000000000000000000 days=7000000000000000 gib=931322.574615478516 kwh=277777777777777.777777777778 minutes=16666666666666.666666666667\n",
		},
		"times in counts": {
			csv + `mapping: {account: {from: a}, product: {value: p}, time: {from: t, layout: [unix_ns]}}`,
			"a,t\nx,1795255200123456789\ny,0\nz,99999999999999999999\n",
			"f:2 x p 2026-11-21T10:00:00.123456789Z\nf:3 y p 1970-01-01T00:00:00Z\nline 4: time_invalid: ",
		},
		"times in microseconds": {
			csv + `mapping: {account: {from: a}, product: {value: p}, time: {from: t, layout: [unix_us]}}`,
			"a,t\nx,1795255200123456\ny,-1.5\n", "f:2 x p 2026-11-21T10:00:00.123456Z\nf:3 y p 1969-12-31T23:59:59.9999985Z\n",
		},
		"several events of a record": {
			csv + `events:
  - {when: 'record.up != "0"', account: {from: a}, product: {value: up}, quantity: {from: up}}
  - {when: 'record.down != "0"', account: {from: a}, product: {value: down}, quantity: {from: down}}`,
			"a,up,down\nx,1,2\ny,0,2\nz,0,0\nw,1,many\nv,0,1\n",
			"f:2 x up 1\nf:2:2 x down 2\nf:3 y down 2\nline 5: quantity_invalid: quantity \"many\"",
		},
		"ids that meet": {
			csv + `events: [{id: {from: i}, account: {from: a}, product: {value: p}}, {id: {from: j}, account: {from: a}, product: {value: q}}, {id: {from: i}, account: {from: a}, product: {value: r}}, {id: {from: k}, source: {value: s}, account: {from: a}, product: {value: s}}]`,
			"i,j,k,a\n1,1,1,x\n1,1:3,1,x\n",
			"1 x p\n1:2 x q\n1:3 x r\n1 x s\n1 x p\n1:3 x q\n1:4 x r\n1 x s\n",
		},
		"each element": {
			"format: {type: ndjson}\neach: order.lines\n" +
				`mapping: {id: {from: order.id}, account: {from: customer}, product: {from: "@each.sku"}, quantity: {expression: 'decimal(record["@each.n"]) * 2'}, attributes: {tag: {from: '@each.tags["a.b"]'}}}`,
			`{"customer":"x","order":{"id":"o1","lines":[{"sku":"a","n":1,"tags":{"a.b":"t"}},{"sku":"b","n":"2.5"},{"sku":"c","n":0.1}]}}
{"customer":"y","order":{"id":"o2","lines":[]}}
{"customer":"y","order":{"id":"o3"}}
{"customer":"z","order":{"id":"o4","lines":[{"sku":"a","n":1},{"sku":"b","n":"x"}]}}
{"customer":"z","order":{"id":"o5","lines":{"sku":"a"}}}
`,
			"o1 x a 2 tag=t\no1:2 x b 5\no1:3 x c 0.2\nline 4: quantity_invalid: quantity: number \"x\" is not",
		},
		"elements that are texts, several events each": {
			"format: {type: json}\neach: seats\n" +
				`events: [{account: {from: "@each"}, product: {value: seat}}, {when: 'record["@each"].startsWith("a")', account: {from: "@each"}, product: {from: kind}}]`,
			`[{"kind":"k","seats":["ab","b"]}]`, "f:1 ab seat\nf:1:2 ab k\nf:1:3 b seat\n",
		},
		"an array in a column": {
			csv + "each: list\n" + `mapping: {account: {from: a}, product: {from: "@each.p"}}`,
			"a,list\nx,\"[{\"\"p\"\":\"\"v\"\"}]\"\ny,[}\n", "f:2 x v\nline 3: row_invalid: each: element 1: not a JSON value",
		},
	} {
		got := mapped(t, c.document, c.content)
		if rest, ok := strings.CutPrefix(got, c.want); !ok || strings.HasSuffix(c.want, "\n") && rest != "" && !strings.HasPrefix(rest, "filtered") {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
	for name, want := range map[string]int{"filter": 2, "several events of a record": 1, "each element": 2} {
		c := map[string][2]string{
			"filter":                     {csv + "filter: 'record.a == \"x\"'\nmapping: {account: {from: a}, product: {value: p}}", "a\nx\ny\nz\n"},
			"several events of a record": {csv + "events: [{when: 'record.a == \"x\"', account: {from: a}, product: {value: p}}]", "a\nx\ny\n"},
			"each element":               {"format: {type: ndjson}\neach: l\nmapping: {account: {from: '@each'}, product: {value: p}}", "{\"l\":[\"x\"]}\n{\"l\":[]}\n{\"l\":null}\n"},
		}[name]
		if got := mapped(t, c[0], c[1]); !strings.HasSuffix(got, fmt.Sprintf("x p\nfiltered %d\n", want)) {
			t.Errorf("%s: %s, want %d filtered", name, got, want)
		}
	}
}

// TestManyEvents: what one record makes is bounded, and costs no more than itself.
func TestManyEvents(t *testing.T) {
	list := "[" + strings.Repeat("1,", 10_000) + "1]"
	got := mapped(t, "format: {type: ndjson}\neach: l\nmapping: {account: {value: a}, product: {value: p}}", `{"l":`+list+"}\n"+`{"l":[1]}`+"\n")
	if want := "line 1: row_invalid: the record makes more than 10000 events\nf:2 a p\n"; got != want {
		t.Errorf("%.200s, want %s", got, want)
	}
}

// TestRealShapes: files as they are described publicly, with configurations for them.
func TestRealShapes(t *testing.T) {
	for name, want := range map[string]string{
		// 86400 s are 24 h; 0.0000166667 USD are what 1,000,000 ms of 1 GB cost at it.
		"aws_cur.csv": "id1 123456789012 AmazonEC2 24 2.496USD 2026-11-01T00:00:00Z region=eu-central-1 type=BoxUsage:m5.large\n" +
			"id2 210987654321 AmazonS3 0.5 0.0115USD 2026-11-01T00:00:00Z region=us-east-1 type=TimedStorage-ByteHrs\nfiltered 1\n",
		"asterisk_cdr.csv": "1795255200.17 4930123456 voice 61 2026-11-21T10:00:00Z direction=out\n" +
			"1795255300.18 4930777 voice 60 2026-11-21T10:02:00Z direction=in\nfiltered 2\n",
		"stripe_event.json": "si_1 cus_9 prod_api 1200 2026-11-01T00:00:00Z\nsi_2 cus_9 prod_storage 3 2026-11-01T00:00:00Z\nfiltered 1\n",
		"prometheus.json":   "f:1 team-a cpu 0.25 2026-11-21T10:00:00Z pod=web-1\nf:1:2 team-a cpu 0.5 2026-11-21T10:05:00Z pod=web-1\nf:2 team-b cpu 1 2026-11-21T10:00:00.5Z pod=db-0\n",
	} {
		base, _, _ := strings.Cut(name, ".")
		document, err := os.ReadFile("testdata/shapes/" + base + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile("testdata/shapes/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if got := mapped(t, string(document), string(content)); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

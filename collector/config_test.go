package collector

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/tollstream/tollstream/collector/format"
)

const goodConfig = `source: {type: folder, path: /var/in, pattern: "*.csv"}
format: {type: delimited, delimiter: ";", quote: '"', header: true, null: ["NULL", ""], decimal: ","}
mapping:
  id: {from: call_id}
  account: {from: msisdn, transform: [trim, {strip_prefix: "00"}, {replace: {old: " ", new: ""}}]}
  product: {value: voice}
  quantity: {from: seconds, transform: {multiply: 0.016666666667}}
  time: {from: started, layout: "2006-01-02 15:04:05", time_zone: Europe/Berlin}
  attributes: {prefix: {from: dialled}, cell: cell_id}
schedule: {every: 5m}
backfill: true
`

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig([]byte(goodConfig))
	if err != nil {
		t.Fatal(err)
	}
	steps := func(f *format.Field) (out string) {
		for _, s := range f.Steps {
			out += fmt.Sprintf("[%s %q %q %s]", s.Op, s.A, s.B, s.By)
		}
		return out
	}
	got := fmt.Sprint(c.Source.Type, " ", c.Source.Path, " ", c.Source.Pattern, " ", c.Format, " ", c.Mapping.ID.From, steps(c.Mapping.Account), c.Mapping.Product.Value, steps(c.Mapping.Quantity), c.Mapping.Time.Zone, c.Mapping.Attributes[0].Name, c.Mapping.Attributes[0].Field.From, c.Every, c.Backfill)
	want := `folder /var/in *.csv &{; "  true 0 0  false {,  [NULL ]}} call_id[trim "" "" 0][strip_prefix "00" "" 0][replace " " "" 0]voice[multiply "0.016666666667" "" 0.016666666667]Europe/Berlincellcell_id5m0s true`
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	asJSON, err := ParseConfig([]byte("{\"format\": {\"header\": false},\n\"mapping\": {\"account\": {\"from\": 1}, \"product\": {\"from\": 2}}}"))
	if err != nil || asJSON.Mapping.Product.Column != 2 || asJSON.Source.Type != "upload" || asJSON.Every != 0 {
		t.Errorf("%v %+v", err, asJSON)
	}
	focus, err := os.ReadFile("testdata/focus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseConfig(focus); err != nil {
		t.Error(err)
	}
}

func TestParseSource(t *testing.T) {
	pin := "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
	for document, want := range map[string]string{
		"{type: ftp, host: h}":                              "&{h  21    }",
		"{type: ftps, host: h}":                             "&{h  21   explicit }",
		"{type: ftps, host: h, tls: implicit}":              "&{h  990   implicit }",
		"{type: ftps, host: h, certificate: '" + pin + "'}": "&{h  21   explicit " + pin + "}",
		"{type: sftp, host: '::1', port: 2222, path: /out, user: u, private_key: {secret: K}, passphrase: {secret: P}, host_key: '" + pin + "'}": "&{::1 /out 2222 u  K P " + pin + "}",
		"{type: s3, endpoint: 'http://127.0.0.1:9000', bucket: b, prefix: in/, access_key: {secret: A}, secret_key: {secret: S}}":                "&{http://127.0.0.1:9000  b in/ false A S}",
	} {
		c, err := ParseConfig([]byte("source: " + document + "\n" + formatOf("{type: delimited}")))
		if err != nil {
			t.Errorf("%s: %v", document, err)
		} else if got := fmt.Sprint(c.Source.Server); got != want {
			t.Errorf("%s\n got %s\nwant %s", document, got, want)
		}
	}
}

func formatOf(format string) string {
	return "format: " + format + "\nmapping: {account: {from: b}, product: {value: p}}\n"
}

func TestParseConfigRefuses(t *testing.T) {
	change := func(old, new string) string {
		if !strings.Contains(goodConfig, old) {
			t.Fatalf("%q is not in the configuration", old)
		}
		return strings.Replace(goodConfig, old, new, 1)
	}
	from := func(source string) string { return change(`type: folder, path: /var/in, pattern: "*.csv"`, source) }
	hooked := func(source string) string { return "source: {" + source + "}\n" + formatOf("{type: json}") }
	cases := []struct{ document, says string }{
		{"", "line 1: the document is empty"},
		{"a: [", "line 1: not YAML"},
		{"a: b\n\tc: d", "not YAML"},
		{"- a", "line 1: must be an object"},
		{goodConfig + "---\na: b\n", "more than one document"},
		{goodConfig + "sources: {}\n", "line 12: sources: unknown member; known are source, format"},
		{goodConfig + "backfill: false\n", "line 12: backfill: stands twice"},
		{change("backfill: true", "backfill: maybe"), "line 11: backfill: must be true or false"},
		{change("{every: 5m}", "{every: 5}"), "line 10: schedule.every: must be a duration"},
		{change("{every: 5m}", "{every: 5m, cron: 0 6 * * *}"), "line 10: schedule: either every or cron"},
		{change("{every: 5m}", "{every: 5m, time_zone: UTC}"), "line 10: schedule.time_zone: goes with cron"},
		{change("{every: 5m}", "{cron: 0 6 * *}"), "line 10: schedule.cron: expected exactly 5 fields"},
		{change("{every: 5m}", "{cron: 60 6 * * *}"), "line 10: schedule.cron: end of range"},
		{change("{every: 5m}", "{cron: 0 6 31 2 *}"), "line 10: schedule.cron: such a day never comes"},
		{change("{every: 5m}", "{cron: TZ=0}"), "line 10: schedule.cron: the zone stands in time_zone"},
		{change("{every: 5m}", "{cron: 0 6 * * *, time_zone: Mars}"), "line 10: schedule.time_zone: unknown time zone"},
		{change(`pattern: "*.csv"`, `pattern: "[a"`), "line 1: source.pattern: is no pattern"},
		{change(`pattern: "*.csv"`, `minimum_age: -1m`), "line 1: source.minimum_age: must be a duration of at least 1s"},
		{change(`pattern: "*.csv"`, `lookback: 3`), "line 1: source.lookback: must be a duration"},
		{change(`pattern: "*.csv"`, `after: burn`), "line 1: source.after: must be keep, delete"},
		{change(`pattern: "*.csv"`, `after: {move: a, rename: b}`), "line 1: source.after: must be keep, delete"},
		{change(`pattern: "*.csv"`, `after: {move: ../x}`), "line 1: source.after.move: must be a folder below"},
		{change(`pattern: "*.csv"`, `after: {rename: .x}, done_file: .x`), "line 1: source.after.rename: must differ from done_file"},
		{change(`pattern: "*.csv"`, `changed: maybe`), "line 1: source.changed: must be new"},
		{change(`type: folder, path: /var/in, pattern: "*.csv"`, `type: upload, recursive: true`), "line 1: source.recursive: unknown member"},
		{goodConfig + "files_at_once: 0\n", "line 12: files_at_once: must be 1 to 32"},
		{goodConfig + "rows_per_second: fast\n", "line 12: rows_per_second: must be a whole number"},
		{goodConfig + "alerts: {rejected_above: 5}\n", "line 12: alerts.rejected_above: must be a share"},
		{goodConfig + "alerts: {rejected_above: 100%}\n", "line 12: alerts.rejected_above: must be a share"},
		{goodConfig + "alerts: {no_file_for: 1s}\n", "line 12: alerts.no_file_for: must be a duration of at least 1m"},
		{change("type: folder", "type: carrier-pigeon"), "line 1: source.type: unknown type"},
		{change("path: /var/in, ", ""), "line 1: source.path"},
		{from("type: folder, host: h"), "line 1: source.host: unknown member; known are type, pattern, recursive, lookback"},
		{from("type: ftp, hots: h"), "source.hots: unknown member; known are type, pattern, recursive, lookback"},
		{from("type: ftp"), "line 1: source.host: is missing"},
		{from("type: ftp, host: ftp://example.com/x"), "source.host: \"ftp://example.com/x\" is no name of a host; write it without"},
		{from("type: ftp, host: example.com:21"), "source.host: \"example.com:21\" is no name of a host; its port stands in port"},
		{from("type: ftp, host: h, port: 70000"), "source.port: must be 1 to 65535"},
		{from("type: ftp, host: h, user: u, password: hunter2"), "source.password: must be {secret: NAME}: a secret does not stand in a configuration"},
		{from("type: ftp, host: h, user: u, password: {secret: ../x}"), "source.password: \"../x\" is no name of a secret"},
		{from("type: ftp, host: h, user: u, password: {name: X}"), "source.password.name: unknown member; known are secret"},
		{from("type: ftp, host: h, user: u"), "source.password: is missing"},
		{from("type: ftp, host: h, tls: explicit"), "source.tls: unknown member"},
		{from("type: ftps, host: h, tls: always"), "source.tls: must be explicit"},
		{from("type: ftps, host: h, certificate: 'MD5:00'"), "source.certificate: a fingerprint begins with SHA256:"},
		{from("type: ftps, host: h, certificate: 'SHA256:00'"), "source.certificate: a fingerprint has, behind SHA256:, 32 bytes"},
		{from("type: sftp, host: h, user: u, password: {secret: P}"), "source.host_key: is missing: without it nobody knows"},
		{from("type: sftp, host: h, user: u, host_key: nothing"), "source.password: needs either password or private_key"},
		{from("type: sftp, host: h, user: u, password: {secret: P}, host_key: nothing"), "source.host_key: must be SHA256:… or a line of known_hosts"},
		{from("type: sftp, host: h, user: u, password: {secret: P}, passphrase: {secret: Q}, host_key: a b"), "source.passphrase: has no use"},
		{from("type: s3, bucket: b"), "source.region: is missing"},
		{from("type: s3, endpoint: s3.example.com, bucket: b"), "source.endpoint: must be a URL"},
		{from("type: s3, endpoint: 'https://s3.example.com/b', bucket: b"), "source.endpoint: must have no path"},
		{from("type: s3, region: r, bucket: b/in"), "source.bucket: must be the name of a bucket"},
		{from("type: s3, region: r, bucket: b, prefix: in"), "source.prefix: must end with a slash"},
		{from("type: s3, region: r, bucket: b, prefix: ../in/"), "source.prefix: must end with a slash"},
		{from("type: s3, region: r, bucket: b, access_key: {secret: A}"), "source.access_key: access_key and secret_key go together"},
		{hooked("type: webhook"), "line 1: source.verify: is missing: write verify: {secret: NAME}"},
		{hooked("type: webhook, path: /in, verify: {secret: A}"), "source.path: unknown member; known are type, verify, allow, reply"},
		{hooked("type: webhook, verify: {type: github}"), "line 1: source.verify.secret: must name the secret"},
		{hooked("type: webhook, verify: {secret: [A, B, C, D, E]}"), "source.verify.secret: must name the secret"},
		{hooked("type: webhook, verify: {secret: hunter2}"), "source.verify.secret: \"hunter2\" is no name of a secret"},
		{hooked("type: webhook, verify: {type: md5, secret: A}"), "source.verify.type: unknown type \"md5\"; known are hmac, github"},
		{hooked("type: webhook, verify: {type: mtls, secret: A}"), "this server speaks no TLS: let the proxy"},
		{hooked("type: webhook, verify: {header: '', secret: A}"), "source.verify.header: must name the header"},
		{hooked("type: webhook, verify: {encoding: base32, secret: A}"), "source.verify.encoding: unknown encoding"},
		{hooked("type: webhook, verify: {type: github, header: X, secret: A}"), "source.verify.header: has no use with type github"},
		{hooked("type: webhook, verify: {tolerance: 5m, secret: A}"), "source.verify.tolerance: has no use with type hmac"},
		{hooked("type: webhook, verify: {type: stripe, tolerance: 5, secret: A}"), "source.verify.tolerance: must be a duration"},
		{hooked("type: webhook, verify: {type: stripe, tolerance: 48h, secret: A}"), "source.verify.tolerance: must lie between"},
		{hooked("type: webhook, verify: {type: basic, secret: A}"), "source.verify.user: must be the name"},
		{hooked("type: webhook, verify: {secret: A}, allow: [192.0.2.0/33]"), "source.allow[0]: \"192.0.2.0/33\" is no network"},
		{hooked("type: webhook, verify: {secret: A}, allow: []"), "source.allow: is empty"},
		{hooked("type: webhook, verify: {secret: A}, reply: {status: 302}"), "source.reply.status: must be 200 to 299"},
		{hooked("type: webhook, verify: {secret: A}, reply: {status: 204, body: x}"), "source.reply.body: 204 has no body"},
		{hooked("type: webhook, verify: {secret: A}, reply: {content_type: text/html}"), "source.reply.content_type: goes with body"},
		{hooked("type: webhook, verify: {secret: A}, reply: {body: x, content_type: ;}"), "source.reply.content_type: \";\" is no content type"},
		{from("type: webhook, verify: {secret: A}"), "schedule: is for files; a source of type webhook"},
		{strings.Replace(hooked("type: webhook, verify: {secret: A}"), "{type: json}", "{type: json, compression: gzip}", 1), "format.compression: is for files"},
		{change(`delimiter: ";"`, `delimiter: ""`), "line 2: format.delimiter"},
		{change(`quote: '"'`, `quote: ';'`), "line 2: format.quote"},
		{change(`decimal: ","`, `encoding: ebcdic`), "line 2: format.encoding: unknown encoding"},
		{change(`type: delimited`, `type: papyrus`), "line 2: format.type: unknown type"},
		{change("header: true", "header: false"), "names the column"},
		{change("type: delimited", "type: delimited, compression: rar"), "format.compression: unknown compression"},
		{formatOf("{type: fixed}"), "line 1: format.columns: needs 1 to"},
		{formatOf("{type: fixed, columns: 3}"), "line 1: format.columns: must be a list"},
		{formatOf("{type: fixed, columns: [{name: a, start: 0, length: 1}]}"), `line 1: format.columns: column "a": start counts from 1`},
		{formatOf("{type: fixed, columns: [{name: a, begin: 1}]}"), "format.columns[0].begin: unknown member; known are name, start"},
		{formatOf("{type: fixed, columns: [{name: a, start: 1, length: 1}]}"), `mapping.account: "b" is none of format.columns; they are "a"`},
		{formatOf("{type: json, records: a..b}"), "line 1: format.records"},
		{formatOf("{type: json, delimiter: x}"), "format.delimiter: unknown member; known are type, compression, records"},
		{strings.Replace(formatOf("{type: ndjson}"), "{from: b}", "{from: 2}", 1), "mapping.account: columns have no numbers in this format"},
		{formatOf("{type: ber}"), "line 1: format.elements: needs a list"},
		{formatOf("{type: ber, elements: [{name: b, path: 1, type: float}]}"), `line 1: format.elements[0]: unknown type "float"; known are integer`},
		{formatOf("{type: ber, elements: [{name: b, path: one, type: text}]}"), `format.elements[0]: "one" is no path of tags`},
		{formatOf("{type: ber, elements: [{name: c, path: 1, type: text}]}"), `mapping.account: "b" is none of format.elements`},
		{strings.Replace(formatOf("{type: parquet}"), "{from: b}", `{from: "b[x]"}`, 1), "mapping.account: \"b[x]\": in brackets stands a number"},
		{formatOf("{type: xml}"), "line 1: format.record: must be the path of the element"},
		{strings.Replace(formatOf("{type: xml, record: a/b}"), "{from: b}", "{from: b c}", 1), "mapping.account: must be the path of an element"},
		{change("  account:", "  acount:"), "line 5: mapping.acount: unknown member"},
		{change("  product: {value: voice}\n", ""), "mapping.product: is missing"},
		{change("{from: call_id}", "{from: call_id, value: x}"), "line 4: mapping.id: needs either"},
		{change("{from: call_id}", "{}"), "line 4: mapping.id: needs either"},
		{change("{from: call_id}", "{from: 0}"), "line 4: mapping.id.from: columns are counted from 1"},
		{change("{value: voice}", "{value: voice, default: x}"), "line 6: mapping.product"},
		{change("trim,", "trimm,"), "line 5: mapping.account.transform[0]: unknown transform"},
		{change("0.016666666667", "0"), "line 7: mapping.quantity.transform[0]: a factor of zero"},
		{change("0.016666666667", "1/60"), "line 7: mapping.quantity.transform[0]"},
		{change(", time_zone: Europe/Berlin", ""), "line 8: mapping.time.time_zone: is missing"},
		{change("Europe/Berlin", "Europe/Atlantis"), "line 8: mapping.time.time_zone: unknown time zone"},
		{change("15:04:05", "03:04:05"), "line 8: mapping.time.layout[0]"},
		{change("15:04:05\"", "15:04:05Z07:00\""), "line 8: mapping.time.time_zone: has no use"},
		{change("{from: dialled}", "{from: dialled, layout: x}"), "line 9: mapping.attributes.prefix.layout: unknown member"},
		{change("cell: cell_id", "prefix: cell_id"), "line 9: mapping.attributes.prefix: stands twice"},
		{change("{from: call_id}", "{from: call_id, expression: '1'}"), "line 4: mapping.id: needs either"},
		{change("{from: call_id}", "{expression: 'record.a +'}"), "line 4: mapping.id.expression: expression: cannot be read at character"},
		{change("{from: call_id}", "{expression: [a]}"), "line 4: mapping.id.expression: must be a text"},
		{change("{from: call_id}", "{expression: 'row.a'}"), "mapping.id.expression: expression: at character 4: this is no part of a mapping: known are record"},
		{change("{from: call_id}", "{expression: 'record'}"), "mapping.id.expression: expression: at character 1: record needs the path"},
		{change("{from: call_id}", "{expression: 'record[\"\"]'}"), "the path of a value is empty"},
		{change("{from: call_id}", "{expression: 'record.a == \"b\"'}"), `line 4: mapping.id.expression: gives true or false: write condition ? "one"`},
		{goodConfig + "filter: 'record.a'\n", "line 12: filter: must give true or false"},
		{goodConfig + "filter: 'record.a > 1'\n", "line 12: filter: expression: at character 7: this is a text where a number is needed: decimal(text) reads one"},
		{goodConfig + "events: []\n", "line 12: events: must be a list of 1 to 50 mappings"},
		{goodConfig + "events: [{account: a, product: b}]\n", "events: a record's events are described by mapping, if it makes one"},
		{goodConfig + "each: a\nfilter: 'record[\"@each.b\"] == \"\"'\n", "filter: @each is an element of the array"},
		{csv, "line 1: mapping: is missing"},
		{csv + "events: [{account: a}]\n", "line 2: events[0].product: is missing"},
		{csv + "events: [{account: a, product: b, when: record.a}]\n", "line 2: events[0].when: must give true or false"},
		{csv + "events: [{account: a, product: b}, {account: a, product: {from: '@each.b'}}]\n", "events[1].product: @each is an element"},
		{"format: {type: ndjson}\neach: a[\nmapping: {account: a, product: b}\n", "each: \"a[\": in brackets stands a number"},
		{"format: {type: ndjson}\neach: a\nmapping: {account: a, product: {from: '@each.b['}}\n", "mapping.product: \"b[\": in brackets stands a number"},
		{change("trim,", "{divide: 0},"), "transform[0]: nothing can be divided by zero"},
		{change("trim,", "{divide: half},"), "transform[0]: factor \"half\" is not"},
		{change("trim,", "{unit: {from: GiB, to: hour}},"), `transform[0]: "GiB" cannot be made "hour"; it can be GB, Gbit`},
		{change("trim,", "{unit: {from: furlong, to: hour}},"), `transform[0]: unknown unit "furlong"; known are`},
		{change("trim,", "{lookup: {table: cells}},"), `transform[0]: there is no table "cells"; write it under tables`},
		{change("trim,", "{match: '('},"), "transform[0]: error parsing regexp"},
		{change("trim,", "{match: 'a', group: 1},"), "transform[0]: the pattern has no group 1; it has 0"},
		{change("trim,", "{match: 'a', trim: 1},"), "transform[0].trim: unknown member"},
		{change("trim,", "{multiply: 2, default: 1},"), "transform[0]: group and default go with match"},
		{change("trim,", "{default: 1},"), "transform[0]: a transform has one member"},
		{goodConfig + "errors: {}\n", "line 12: errors.at_most: must be a number of rows from 0, or a share from 1% to 99%"},
		{goodConfig + "errors: {at_most: -1}\n", "line 12: errors.at_most: must be"},
		{goodConfig + "errors: {at_most: 100%}\n", "line 12: errors.at_most: must be"},
		{goodConfig + "errors: {at_most: 0%}\n", "line 12: errors.at_most: must be"},
		{goodConfig + "errors: {most: 1}\n", "line 12: errors.most: unknown member"},
		{goodConfig + "tables: []\n", "line 12: tables: must be an object"},
		{goodConfig + "tables: {a: {b: 1, b: 2}}\n", "line 12: tables.a.b: stands twice"},
		{goodConfig + "tables: {a: {b: [1]}}\n", "line 12: tables.a.b: must be a text"},
		{change("  id:", "  amount: {value: 1}\n  id:"), "amount and currency go together"},
	}
	for _, c := range cases {
		_, err := ParseConfig([]byte(c.document))
		var where *ConfigError
		if !errors.As(err, &where) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("want %q, got %v", c.says, err)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(goodConfig))
	f.Add([]byte("a: &x {b: *x}\nformat: *x"))
	f.Add([]byte("tables: {k: {1: a}}\nformat: {type: ndjson}\neach: l\nfilter: 'record.a in [\"b\"]'\nevents: [{when: 'record[\"@each.n\"] != \"\"', account: a, product: {from: p, transform: [{lookup: {table: k}}, {match: a, group: 0}]}}]"))
	f.Fuzz(func(t *testing.T, document []byte) {
		if c, err := ParseConfig(document); err == nil && (c.Mapping.Account == nil || c.Mapping.Product == nil) {
			t.Fatalf("accepted without account or product: %q", document)
		}
	})
}

func TestDefaultBackoffIsBounded(t *testing.T) {
	for n := 1; n < 100; n++ {
		if d := defaultBackoff(n); d < 100*time.Millisecond || d > 10*time.Second {
			t.Errorf("%d: %s", n, d)
		}
	}
}

// TestReadme: every configuration that the documentation shows is one.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```yaml\n")[1:]
	for _, b := range blocks {
		document, _, _ := strings.Cut(b, "```")
		if _, err := ParseConfig([]byte(document)); err != nil {
			t.Errorf("%v in\n%s", err, document)
		}
	}
	if len(blocks) < 4 {
		t.Errorf("%d examples found", len(blocks))
	}
}

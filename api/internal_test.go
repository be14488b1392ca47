package api

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A definition inside its document is what it was, under the id of the address, on the lines that it had.
func FuzzWithin(f *testing.F) {
	for _, seed := range []string{`{}`, `{"id":"a"}`, "\n {\n\"x\": 1}\n", `{"id":1}`, `[]`, `{"a":"}"}`, `null`, `{"a":1}{}`, ``} {
		f.Add("a", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, id string, definition []byte) {
		out, err := within("products", id, definition)
		if err != nil {
			return
		}
		var document map[string][]map[string]json.RawMessage
		if err := json.Unmarshal(out, &document); err != nil || len(document) != 1 || len(document["products"]) != 1 {
			t.Fatalf("%q became %q: %v", definition, out, err)
		}
		var named string
		if err := json.Unmarshal(document["products"][0]["id"], &named); err != nil || named != id {
			t.Fatalf("%q names %q, want %q: %v", out, named, id, err)
		}
		if bytes.Count(out, []byte("\n")) != bytes.Count(definition, []byte("\n")) {
			t.Fatalf("%q moved lines of %q", out, definition)
		}
	})
}

// A redirect after the login stays on this server.
func FuzzLocalPath(f *testing.F) {
	for _, seed := range []string{"/ops", "//evil", `/\evil`, "https://evil", "", "/ops?x=//y", "/\t/evil", "javascript:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, next string) {
		got := localPath(next)
		u, err := url.Parse(got)
		if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\t\r\n") {
			t.Fatalf("%q leads to %q: %v", next, got, err)
		}
	})
}

// Nothing but what was signed for the purpose passes.
func FuzzVerify(f *testing.F) {
	a := &Access{secret: bytes.Repeat([]byte{7}, 32), now: func() time.Time { return time.Unix(1000, 0) }}
	good := a.sign(purposeLink, claims{Account: "acme", Expires: 2000})
	for _, seed := range []string{good, good + "A", "", ".", "e30.", strings.Replace(good, ".", "..", 1), a.sign(purposeCustomer, claims{Expires: 2000})} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c, err := a.verify(purposeLink, token)
		payload, _, _ := strings.Cut(token, ".")
		signed, _, _ := strings.Cut(good, ".")
		if err == nil && (payload != signed || c.Account != "acme") {
			t.Fatalf("%q passes as %+v", token, c)
		}
	})
}

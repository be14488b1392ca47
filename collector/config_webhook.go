package collector

import (
	"fmt"
	"mime"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tollstream/tollstream/collector/format"
	"github.com/tollstream/tollstream/collector/secret"
	"github.com/tollstream/tollstream/collector/webhook"
)

// WebhookConfig says whose deliveries are taken, and what they are answered.
type WebhookConfig struct {
	Verify  webhook.Verification
	Secrets []secret.Name // any of which verifies a delivery: two while one is replaced by the other
	Allow   webhook.Networks
	Reply   WebhookReply
}

// WebhookReply is the answer to a delivery that was taken. With no body it says how many events were accepted, and which were not.
type WebhookReply struct {
	Status      int
	ContentType string
	Body        string
	own         bool // the body is the configuration's
}

// Own says whether the configuration has a body, or a status without one.
func (r *WebhookReply) Own() bool { return r.own || r.Status == 204 }

// aroundWebhook are the paths of what comes with a body.
var aroundWebhook = []string{"@delivery", "@header."}

// webhook gives the members of a source that is delivered to, and what has to hold when they are read.
func (d *reading) webhook(w *WebhookConfig) []member {
	*w = WebhookConfig{Verify: webhook.Default(), Reply: WebhookReply{Status: 200, ContentType: "application/json"}}
	return []member{
		{"verify", func(path string, n *yaml.Node) { d.verify(w, path, n) }},
		{"allow", func(path string, n *yaml.Node) { d.networks(&w.Allow, path, n) }},
		{"reply", func(path string, n *yaml.Node) { d.reply(&w.Reply, path, n) }},
	}
}

func (d *reading) verify(w *WebhookConfig, path string, node *yaml.Node) {
	v := &w.Verify
	kind, encoding, tolerance := string(v.Kind), string(v.Encoding), v.Tolerance.String()
	var secrets []string
	lines := map[string]*yaml.Node{"": node}
	members := []member{
		{"type", d.text(&kind)}, {"secret", d.texts(&secrets)}, {"header", d.text(&v.Header)}, {"prefix", d.text(&v.Prefix)},
		{"encoding", d.text(&encoding)}, {"tolerance", d.text(&tolerance)}, {"user", d.text(&v.User)},
	}
	for i, m := range members {
		members[i].read = func(path string, n *yaml.Node) { lines[m.name] = n; m.read(path, n) }
	}
	before := len(d.problems)
	seen := d.object(path, node, members...)
	if len(d.problems) > before {
		return
	}
	fail := func(member, text string, args ...any) {
		at := lines[member]
		if at == nil {
			at = node
		}
		d.fail(joined(path, member), at, text, args...)
	}
	if v.Kind, v.Encoding = webhook.Kind(kind), webhook.Encoding(encoding); !slices.Contains(webhook.Kinds, v.Kind) {
		advice := ""
		if kind == "mtls" {
			advice = "; this server speaks no TLS: let the proxy in front of it ask for client certificates, and set bearer and allow here"
		}
		fail("type", "unknown type %q; known are %s%s", kind, strings.Join(kindNames(), ", "), advice)
		return
	}
	if len(secrets) == 0 || len(secrets) > 4 {
		fail("secret", "must name the secret: the NAME of an environment variable TOLLSTREAM_SECRET_NAME or of a file, or up to four while one is replaced")
	}
	for _, s := range secrets {
		w.Secrets = append(w.Secrets, secret.Name(s))
		if message := secret.Name(s).Check(); message != "" {
			fail("secret", "%s; the secret itself does not stand in a configuration", message)
		}
	}
	for _, s := range seen {
		if of := verifyMembers[s]; of != nil && !slices.Contains(of, v.Kind) {
			fail(s, "has no use with type %s", kind)
		}
	}
	parsed, err := time.ParseDuration(tolerance)
	if err != nil {
		fail("tolerance", "must be a duration like 5m")
		return
	}
	v.Tolerance = parsed
	if member, message := v.Check(); message != "" {
		fail(member, "%s", message)
	}
}

// verifyMembers are the members that only some kinds have.
var verifyMembers = map[string][]webhook.Kind{
	"header": {webhook.HMAC}, "prefix": {webhook.HMAC}, "encoding": {webhook.HMAC},
	"tolerance": {webhook.Stripe, webhook.Standard}, "user": {webhook.Basic},
}

func kindNames() []string {
	names := make([]string, len(webhook.Kinds))
	for i, k := range webhook.Kinds {
		names[i] = string(k)
	}
	return names
}

func (d *reading) networks(into *webhook.Networks, path string, node *yaml.Node) {
	var list []string
	d.texts(&list)(path, node)
	if len(list) == 0 {
		d.fail(path, node, "is empty: nobody could deliver anything; leave it out to allow every address")
	}
	for i, text := range list {
		p, ok := webhook.ParseNetwork(text)
		if !ok {
			d.fail(fmt.Sprintf("%s[%d]", path, i), node, "%q is no network; write it like 192.0.2.0/24 or 2001:db8::/32", text)
		}
		*into = append(*into, p)
	}
}

// maxReplyBytes bounds the body of an answer.
const maxReplyBytes = 4 << 10

func (d *reading) reply(r *WebhookReply, path string, node *yaml.Node) {
	before := len(d.problems)
	seen := d.object(path, node, member{"status", d.number(&r.Status)}, member{"content_type", d.text(&r.ContentType)}, member{"body", d.text(&r.Body)})
	if len(d.problems) > before {
		return
	}
	r.own = slices.Contains(seen, "body")
	if r.own && !slices.Contains(seen, "content_type") {
		r.ContentType = "text/plain; charset=utf-8"
	}
	_, _, err := mime.ParseMediaType(r.ContentType)
	switch {
	case r.Status < 200 || r.Status > 299:
		d.fail(joined(path, "status"), node, "must be 200 to 299: with any other the sender would send again what was taken")
	case r.Status == 204 && r.own:
		d.fail(joined(path, "body"), node, "204 has no body")
	case len(r.Body) > maxReplyBytes:
		d.fail(joined(path, "body"), node, "has more than %d bytes", maxReplyBytes)
	case err != nil:
		d.fail(joined(path, "content_type"), node, "%q is no content type", r.ContentType)
	case slices.Contains(seen, "content_type") && !r.own:
		d.fail(joined(path, "content_type"), node, "goes with body: the answer without one is JSON")
	}
}

// brought gives the format what comes with the documents of a source that brings them, and refuses what only files have.
func (d *reading) brought(c *Config, names []string, node *yaml.Node) {
	c.Format = &format.Envelope{Format: c.Format, Names: names}
	if c.Packing != format.PackingAuto && c.Packing != format.PackingNone {
		d.fail("format.compression", node, "is for files; what is brought says by itself how it is packed")
	}
	if c.Every != 0 {
		d.fail("schedule", node, "is for files; a source of type %s brings its usage when there is some", c.Source.Type)
	}
}

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/deploy/teststores"
)

// hooks are collectors, and how a shell that has openssl and curl delivers $body to $url.
var hooks = []struct{ name, source, deliver string }{
	{
		"plain", "{type: webhook, verify: {secret: PLAIN}}",
		`curl $opts -H "X-Signature: $(printf %s "$body" | openssl dgst -sha256 -hmac plain | sed 's/^.* //')" --data-binary "$body" $url`,
	},
	{
		"github", "{type: webhook, verify: {type: github, secret: [NEXT, PLAIN]}, reply: {status: 202, body: thanks}}",
		`curl $opts -H "X-Hub-Signature-256: sha256=$(printf %s "$body" | openssl dgst -sha256 -hmac plain | sed 's/^.* //')" --data-binary "$body" $url`,
	},
	{
		"stripe", "{type: webhook, verify: {type: stripe, secret: STRIPE}}",
		`curl $opts -H "Stripe-Signature: $(python stripe "$body")" --data-binary "$body" $url`,
	},
	{
		"standard", "{type: webhook, verify: {type: standard, secret: STANDARD}, allow: 127.0.0.0/8}",
		`now=$(date +%s); curl $opts -H "webhook-id: msg_1" -H "webhook-timestamp: $now" -H "webhook-signature: $(python standard "$body" $now)" --data-binary "$body" $url`,
	},
	{"basic", "{type: webhook, verify: {type: basic, user: gate, secret: PLAIN}}", `curl $opts -u gate:plain --data-binary "$body" $url`},
	{"bearer", "{type: webhook, verify: {type: bearer, secret: PLAIN}}", `printf %s "$body" | gzip | curl $opts -H "Authorization: Bearer plain" -H "Content-Encoding: gzip" --data-binary @- $url`},
}

const signer = `
import sys, datetime
if sys.argv[1] == "stripe":
    import stripe
    print(stripe.WebhookSignature.generate_signature_header(sys.argv[2], "whsec_stripe"))
else:
    from standardwebhooks.webhooks import Webhook
    at = datetime.datetime.fromtimestamp(int(sys.argv[3]), tz=datetime.timezone.utc)
    print(Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").sign(msg_id="msg_1", timestamp=at, data=sys.argv[2]))
`

// shell runs a script and gives the status and the body that curl has got.
func (c *caller) shell(t *testing.T, script, url, body string) (status, reply string) {
	t.Helper()
	teststores.Program(t, "curl")
	teststores.Program(t, "openssl")
	python := filepath.Join(t.TempDir(), "sign.py")
	if err := os.WriteFile(python, []byte(signer), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "bash", "-c", `python() { "$interpreter" `+python+` "$@"; }; opts="-sS -m 60 -w \n%{http_code}"; `+script)
	command.Env = append(os.Environ(), "url="+url, "body="+body, "interpreter="+teststores.Python(t))
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	text := string(out)
	end := strings.LastIndexByte(text, '\n')
	return text[end+1:], text[:end]
}

// TestWebhooks: deliveries that programs of others have signed are taken once however often they come, and nobody else's.
func TestWebhooks(t *testing.T) {
	secrets, address := t.TempDir(), freeAddress(t)
	for name, secret := range map[string]string{"PLAIN": "plain", "NEXT": "next", "STRIPE": "whsec_stripe", "STANDARD": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"} {
		if err := os.WriteFile(filepath.Join(secrets, name), []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, "the server", "run", "--data-dir", filepath.Join(t.TempDir(), "data"), "--http-addr", address, "--secrets-dir", secrets)
	key := p.says("admin key: ")
	p.says("listening on ")
	c := newCaller(address, key)
	c.apply(t, smallCatalog)
	body := `{"items": [{"who": "acme", "n": "1.5"}, {"who": "acme", "n": 2}, {"who": ""}]}`
	for _, h := range hooks {
		config := "source: " + h.source + "\nformat: {type: json, records: items}\nmapping: {account: who, product: {value: calls}, quantity: n, time: {value: '" + eventTime.Format(time.RFC3339) + "'}, attributes: {by: '@header.Content-Type'}}\n"
		if res := c.answered(t, "PUT", "/v1/collectors/"+h.name, []byte(config), "Content-Type", "application/yaml"); res.Status != 201 {
			t.Fatalf("%s: %d %s", h.name, res.Status, res.Body)
		}
		url := "http://" + c.Address + "/v1/collectors/" + h.name + "/webhook"
		for range 2 {
			status, reply := c.shell(t, h.deliver, url, body)
			if h.name == "github" {
				if status != "202" || reply != "thanks" {
					t.Errorf("%s: %s %q", h.name, status, reply)
				}
				continue
			}
			var a answer
			if err := json.Unmarshal([]byte(reply), &a); err != nil || status != "200" || a.Accepted != 2 || len(a.Rejected) != 1 || a.Rejected[0].Index != 2 {
				t.Errorf("%s: %s %s", h.name, status, reply)
			}
		}
		if status, reply := c.shell(t, h.deliver, "http://"+c.Address+"/v1/collectors/nobody/webhook", body); status != "401" {
			t.Errorf("%s delivered to nobody: %s %s", h.name, status, reply)
		}
	}

	refusals := map[string]bool{}
	for _, name := range []string{"plain", "nobody", "%00", "stripe", "basic"} {
		status, reply := c.shell(t, `curl $opts -H "X-Signature: 00" -H "Authorization: Basic eDp5" --data-binary "$body" $url`, "http://"+c.Address+"/v1/collectors/"+name+"/webhook", body)
		if status != "401" {
			t.Errorf("%s: %s %s", name, status, reply)
		}
		refusals[reply] = true
	}
	if len(refusals) != 1 {
		t.Errorf("refusals tell what there is: %v", refusals)
	}
	url := "http://" + c.Address + "/v1/collectors/plain/webhook"
	if status, _ := c.shell(t, `curl $opts $url`, url, ""); status != "405" {
		t.Errorf("GET: %s", status)
	}
	if status, _ := c.shell(t, `head -c 1073741824 /dev/zero | curl $opts -X POST -H "X-Signature: 00" -H "Transfer-Encoding: chunked" -H "Expect:" -T - $url`, url, ""); status != "413" {
		t.Errorf("1 GiB in chunks: %s", status)
	}
	if status, reply := c.shell(t, hooks[0].deliver, url, ""); status != "400" {
		t.Errorf("nothing: %s %s", status, reply)
	}

	p.eventually("the invoice has each delivery once", func() error {
		invoice, err := c.InvoiceAt("acme", eventTime)
		if err != nil {
			return err
		}
		if invoice.Total != "5.250000000000" { // six collectors, 1.5 and 2 calls each, at 0.25
			return fmt.Errorf("total %s", invoice.Total)
		}
		return nil
	})
	p.eventually("the history has what was wrong", func() error {
		var runs struct {
			Data []struct {
				State     string
				Rows, Bad int64
			}
		}
		if err := c.Get("/v1/collectors/plain/runs", nil, &runs); err != nil {
			return err
		}
		if len(runs.Data) == 0 || runs.Data[0].State != "done" || runs.Data[0].Bad < 2 {
			return fmt.Errorf("%+v", runs)
		}
		return nil
	})
	for _, secret := range []string{"plain\"", "whsec_", "X-Signature: "} {
		if strings.Contains(p.Output(), secret) {
			t.Errorf("the log shows %q", secret)
		}
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

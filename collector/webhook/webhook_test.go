package webhook

import (
	"errors"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/deploy/teststores"
)

var signedAt = time.Unix(1_763_900_000, 0)

const payload = `{"id": "evt_1", "amount": "10 €"}`

// sign asks programs of others for a header over the payload.
const signers = `
import sys, datetime
kind, secret, payload, at, id = sys.argv[1:]
if kind == "stripe":
    import stripe
    print(stripe.WebhookSignature.generate_signature_header(payload, secret, timestamp=int(at)))
else:
    from standardwebhooks.webhooks import Webhook
    print(Webhook(secret).sign(msg_id=id, timestamp=datetime.datetime.fromtimestamp(int(at), tz=datetime.timezone.utc), data=payload))
`

func python(t *testing.T, kind, secret, at, id string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), teststores.Python(t), "-c", signers, kind, secret, payload, at, id).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func openssl(t *testing.T, secret, body string, binary bool) string {
	t.Helper()
	script := `printf %s "$1" | openssl dgst -sha256 -hmac "$2" | sed 's/^.* //'`
	if binary {
		script = `printf %s "$1" | openssl dgst -sha256 -hmac "$2" -binary | base64`
	}
	teststores.Program(t, "openssl")
	out, err := exec.CommandContext(t.Context(), "bash", "-c", script, "sign", body, secret).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func of(kind Kind) *Verification {
	v := Default()
	v.Kind = kind
	return &v
}

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

const (
	whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	other = "whsec_plJ3nmyCDGBKInavdOK15jsl"
)

// TestOthersSignatures: what programs that nobody here wrote have signed is verified; and is not with another body, another secret
// or at another time.
func TestOthersSignatures(t *testing.T) {
	base64 := of(HMAC)
	base64.Header, base64.Prefix, base64.Encoding = "X-Shop-Hmac", "v0=", Base64
	for _, c := range []struct {
		name   string
		v      *Verification
		secret string
		wrong  string // another secret of the kind
		header http.Header
		timed  bool
		id     string
	}{
		{"hmac", of(HMAC), "s3cret", "x", headers("X-Signature", openssl(t, "s3cret", payload, false)), false, ""},
		{"hmac in capitals", of(HMAC), "s3cret", "x", headers("X-Signature", strings.ToUpper(openssl(t, "s3cret", payload, false))), false, ""},
		{"base64", base64, "s3cret", "x", headers("X-Shop-Hmac", "v0="+openssl(t, "s3cret", payload, true)), false, ""},
		{"github", of(GitHub), "s3cret", "x", headers("X-Hub-Signature-256", "sha256="+openssl(t, "s3cret", payload, false)), false, ""},
		{"stripe", of(Stripe), whsec, other, headers("Stripe-Signature", python(t, "stripe", whsec, "1763900000", "")), true, ""},
		{
			"stripe with the old key's too", of(Stripe), whsec, other,
			headers("Stripe-Signature", python(t, "stripe", "whsec_old", "1763900000", "")+strings.TrimPrefix(python(t, "stripe", whsec, "1763900000", ""), "t=1763900000")+",v0=00"), true, "",
		},
		{
			"standard", of(Standard), whsec, other,
			headers("webhook-id", "msg_1", "webhook-timestamp", "1763900000", "webhook-signature", "v1a,AAAA "+python(t, "standard", whsec, "1763900000", "msg_1")), true, "msg_1",
		},
		{
			"svix", of(Standard), whsec, other,
			headers("svix-id", "msg_1", "svix-timestamp", "1763900000", "svix-signature", python(t, "standard", whsec, "1763900000", "msg_1")), true, "msg_1",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			verify := func(body string, at time.Time, secrets ...string) error {
				if err := c.v.Early(c.header, secrets); err != nil {
					t.Fatalf("early: %v", err)
				}
				id, err := c.v.Verify(Delivery{Header: c.header, Bodies: [][]byte{[]byte("packed"), []byte(body)}}, secrets, at)
				if err == nil && id != c.id {
					t.Errorf("id %q, want %q", id, c.id)
				}
				return err
			}
			if err := verify(payload, signedAt, c.secret); err != nil {
				t.Errorf("not verified: %v", err)
			}
			if err := verify(payload, signedAt, c.wrong, c.secret); err != nil {
				t.Errorf("while the secret is replaced: %v", err)
			}
			if err := verify(payload, signedAt, c.wrong); !errors.Is(err, ErrSignature) {
				t.Errorf("another secret: %v", err)
			}
			if err := verify(payload+" ", signedAt, c.secret); !errors.Is(err, ErrSignature) {
				t.Errorf("another body: %v", err)
			}
			for apart, want := range map[time.Duration]error{
				5 * time.Minute: nil, -5 * time.Minute: nil, 5*time.Minute + time.Second: ErrTime, -5*time.Minute - time.Second: ErrTime,
				1 << 62: ErrTime,
			} {
				if !c.timed {
					want = nil
				}
				if err := verify(payload, signedAt.Add(apart), c.secret); !errors.Is(err, want) {
					t.Errorf("%s later: %v, want %v", apart, err, want)
				}
			}
			for _, secrets := range [][]string{nil, {""}, {c.secret, ""}} {
				if err := verify(payload, signedAt, secrets...); !errors.Is(err, ErrSecret) {
					t.Errorf("secrets %q: %v", secrets, err)
				}
			}
			if err := c.v.Early(http.Header{}, []string{c.secret}); !errors.Is(err, ErrMissing) {
				t.Errorf("no header: %v", err)
			}
		})
	}
}

// TestRefused: what is no credential, or only looks like one.
func TestRefused(t *testing.T) {
	good := "0000000000000000000000000000000000000000000000000000000000000000"
	for _, c := range []struct {
		name   string
		kind   Kind
		header http.Header
		want   error
	}{
		{"empty", HMAC, headers("X-Signature", ""), ErrMissing},
		{"twice", HMAC, headers("X-Signature", good, "X-Signature", good), ErrMissing},
		{"no hex", HMAC, headers("X-Signature", "zz"), ErrSignature},
		{"short", HMAC, headers("X-Signature", "00"), ErrSignature},
		{"zeros", HMAC, headers("X-Signature", good), ErrSignature},
		{"no prefix", GitHub, headers("X-Hub-Signature-256", good), ErrSignature},
		{"sha1", GitHub, headers("X-Hub-Signature", good), ErrMissing},
		{"no v1", Stripe, headers("Stripe-Signature", "t=1763900000,v0="+good), ErrSignature},
		{"two times", Stripe, headers("Stripe-Signature", "t=1763900000,t=1763900001,v1="+good), ErrSignature},
		{"no time", Stripe, headers("Stripe-Signature", "v1="+good), ErrSignature},
		{"many", Stripe, headers("Stripe-Signature", "t=1763900000"+strings.Repeat(",v1="+good, 17)), ErrSignature},
		{"no id", Standard, headers("webhook-timestamp", "1763900000", "webhook-signature", "v1,AAAA"), ErrMissing},
		{"v2", Standard, headers("webhook-id", "a", "webhook-timestamp", "1763900000", "webhook-signature", "v2,AAAA"), ErrSignature},
		{"id with a dot", Standard, headers("webhook-id", "a.b", "webhook-timestamp", "1763900000", "webhook-signature", "v1,AAAA"), ErrSignature},
		{"mixed", Standard, headers("svix-id", "a", "webhook-timestamp", "1763900000", "webhook-signature", "v1,AAAA"), ErrMissing},
		{"no password", Basic, headers(), ErrMissing},
		{"other scheme", Basic, headers("Authorization", "Bearer s3cret"), ErrMissing},
		{"other user", Basic, headers("Authorization", "Basic eDpzM2NyZXQ="), ErrSignature}, // x:s3cret
		{"no base64", Basic, headers("Authorization", "Basic u:p"), ErrMissing},
		{"wrong token", Bearer, headers("Authorization", "Bearer s3cre"), ErrSignature},
		{"longer token", Bearer, headers("Authorization", "Bearer s3crets"), ErrSignature},
		{"no token", Bearer, headers("Authorization", "Bearer"), ErrSignature},
	} {
		v := of(c.kind)
		v.User = "gateway"
		secrets := []string{"s3cret"}
		if c.kind == Standard {
			secrets = []string{whsec}
		}
		_, err := v.Verify(Delivery{Header: c.header, Bodies: [][]byte{[]byte(payload)}}, secrets, signedAt)
		if !errors.Is(err, c.want) {
			t.Errorf("%s %s: %v, want %v", c.kind, c.name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), good)) {
			t.Errorf("%s %s: the error shows a secret: %v", c.kind, c.name, err)
		}
	}
	if _, err := of(Standard).Verify(Delivery{Header: headers("webhook-id", "a", "webhook-timestamp", "1", "webhook-signature", "v1,AAAA")}, []string{"no base64!"}, signedAt); !errors.Is(err, ErrSecret) {
		t.Errorf("a secret that is none: %v", err)
	}
}

func TestPasswords(t *testing.T) {
	basic, bearer := of(Basic), of(Bearer)
	basic.User = "gateway"
	for _, c := range []struct {
		v      *Verification
		header string
	}{
		{basic, "Basic Z2F0ZXdheTpwYXNzOndvcmQ="}, // gateway:pass:word
		{basic, "basic Z2F0ZXdheTpwYXNzOndvcmQ="},
		{bearer, "Bearer pass:word"},
	} {
		if err := c.v.Early(headers("Authorization", c.header), []string{"old", "pass:word"}); err != nil {
			t.Errorf("%s: %v", c.header, err)
		}
		if err := c.v.Early(headers("Authorization", c.header), []string{""}); !errors.Is(err, ErrSecret) {
			t.Errorf("%s and no secret: %v", c.header, err)
		}
	}
}

func TestSender(t *testing.T) {
	var trusted Networks
	for _, text := range []string{"10.0.0.0/8", "::1"} {
		p, ok := ParseNetwork(text)
		if !ok {
			t.Fatal(text)
		}
		trusted = append(trusted, p)
	}
	for _, c := range []struct{ remote, said, want string }{
		{"192.0.2.7:1234", "", "192.0.2.7"},
		{"192.0.2.7:1234", "198.51.100.1", "192.0.2.7"}, // whoever it is cannot say so
		{"10.1.1.1:1", "198.51.100.1", "198.51.100.1"},
		{"10.1.1.1:1", "1.2.3.4, 198.51.100.1, 10.2.2.2", "198.51.100.1"}, // what stands before was said by a stranger
		{"10.1.1.1:1", "", "10.1.1.1"},
		{"10.1.1.1:1", "nonsense", "10.1.1.1"},
		{"[::1]:1", "2001:db8::1", "2001:db8::1"},
		{"[::ffff:10.1.1.1]:1", "198.51.100.1", "198.51.100.1"},
		{"@", "", "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{}}
		if c.said != "" {
			r.Header.Set("X-Forwarded-For", c.said)
		}
		if got := Sender(r, trusted); got.String() != c.want {
			t.Errorf("%s, %s: %s, want %s", c.remote, c.said, got, c.want)
		}
	}
	if _, ok := ParseNetwork("192.0.2.0/33"); ok {
		t.Error("a network of 33 bits")
	}
	if !(Networks{netip.MustParsePrefix("192.0.2.0/24")}).Contains(netip.MustParseAddr("::ffff:192.0.2.9")) {
		t.Error("an IPv4 address in IPv6 is not found")
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("t=1763900000,v1=00", "Basic eDp4", "v1,AAAA")
	f.Add("t=,v1=", "Bearer ", "v1, v1,=")
	f.Fuzz(func(t *testing.T, stripe, authorization, standard string) {
		h := headers("Stripe-Signature", stripe, "Authorization", authorization, "X-Signature", stripe, "X-Hub-Signature-256", "sha256="+stripe,
			"webhook-id", standard, "webhook-timestamp", stripe, "webhook-signature", standard)
		for _, k := range Kinds {
			v := of(k)
			v.User = "u"
			secret := "whsec_TGVuZ3RoIGlzIG5vdCBndWVzc2Vk"
			if _, err := v.Verify(Delivery{Header: h, Bodies: [][]byte{[]byte(payload)}}, []string{secret}, signedAt); err == nil {
				t.Fatalf("%s: verified %v", k, h)
			}
		}
	})
}

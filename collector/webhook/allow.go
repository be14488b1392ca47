package webhook

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Networks are addresses that something is allowed from.
type Networks []netip.Prefix

// ParseNetwork reads 192.0.2.0/24, or one address.
func ParseNetwork(text string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

// Contains says whether the address is one of them.
func (n Networks) Contains(a netip.Addr) bool {
	for _, p := range n {
		if p.Contains(a.Unmap().WithZone("")) {
			return true
		}
	}
	return false
}

// Sender gives the address that a request comes from: that of the connection or, where the connection is a proxy's that is
// trusted, what this one says in X-Forwarded-For, and so on from the right. What others say of themselves does not count.
func Sender(r *http.Request, trusted Networks) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	sender, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	said := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(said) - 1; i >= 0 && trusted.Contains(sender); i-- {
		before, err := netip.ParseAddr(strings.TrimSpace(said[i]))
		if err != nil {
			break // the proxy is the last one that is known
		}
		sender = before
	}
	return sender.Unmap()
}

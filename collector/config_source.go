package collector

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tollstream/tollstream/collector/secret"
	"github.com/tollstream/tollstream/collector/source"
)

// SourceConfig says where files come from. By hand and by upload any type takes a file.
type SourceConfig struct {
	Type   string // folder, upload, webhook, ftp, ftps, sftp or s3
	Path   string // of a folder on this machine
	Server source.Server
	source.Rules
	After         source.After
	RefuseChanged bool // a file whose content changed under its name is refused instead of taken as new
	Webhook       *WebhookConfig
}

// Listed says whether the source is a place whose files are listed; by upload they come by themselves.
func (s *SourceConfig) Listed() bool { return s.Type == "folder" || s.Server != nil }

// servers are the types of a source that is not on this machine. Each starts with its defaults and has its members read into it.
var servers = map[string]func(d *reading) (source.Server, []member){
	"ftp":  func(d *reading) (source.Server, []member) { return d.ftp("") },
	"ftps": func(d *reading) (source.Server, []member) { return d.ftp("explicit") },
	"sftp": func(d *reading) (source.Server, []member) {
		s := &source.SFTP{Port: 22}
		return s, []member{
			{"host", d.text(&s.Host)}, {"port", d.number(&s.Port)}, {"path", d.text(&s.Path)}, {"user", d.text(&s.User)},
			{"password", d.secret(&s.Password)}, {"private_key", d.secret(&s.PrivateKey)}, {"passphrase", d.secret(&s.Passphrase)},
			{"host_key", d.text(&s.HostKey)},
		}
	},
	"s3": func(d *reading) (source.Server, []member) {
		s := &source.S3{}
		return s, []member{
			{"endpoint", d.text(&s.Endpoint)}, {"region", d.text(&s.Region)}, {"bucket", d.text(&s.Bucket)}, {"prefix", d.text(&s.Prefix)},
			{"path_style", d.flag(&s.PathStyle)}, {"access_key", d.secret(&s.AccessKey)}, {"secret_key", d.secret(&s.SecretKey)},
		}
	},
}

func (d *reading) ftp(tls string) (source.Server, []member) {
	f := &source.FTP{TLS: tls}
	members := []member{
		{"host", d.text(&f.Host)}, {"port", d.number(&f.Port)}, {"path", d.text(&f.Path)},
		{"user", d.text(&f.User)}, {"password", d.secret(&f.Password)},
	}
	if tls != "" {
		members = append(members, member{"tls", d.text(&f.TLS)}, member{"certificate", d.text(&f.Certificate)})
	}
	return f, members
}

// secret reads {secret: NAME}.
func (d *reading) secret(into *secret.Name) func(string, *yaml.Node) {
	return func(path string, node *yaml.Node) {
		if node.Kind != yaml.MappingNode {
			d.fail(path, node, "must be {secret: NAME}: a secret does not stand in a configuration, but in the environment variable TOLLSTREAM_SECRET_NAME or a file called NAME")
			return
		}
		before := len(d.problems)
		var name string
		d.object(path, node, member{"secret", d.text(&name)})
		*into = secret.Name(name)
		if message := into.Check(); message != "" && len(d.problems) == before {
			d.fail(path, node, "%s", message)
		}
	}
}

// source reads where files lie; its type decides which members it has.
func (d *reading) source(s *SourceConfig, path string, node *yaml.Node) {
	at := node
	if node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == "type" {
				at = node.Content[i+1]
				d.text(&s.Type)(joined(path, "type"), at)
			}
		}
	}
	members := []member{{"type", d.text(&s.Type)}, {"pattern", d.text(&s.Pattern)}}
	if s.Type != "upload" && s.Type != "webhook" {
		members = append(members, d.pickUp(s)...)
	}
	start, remote := servers[s.Type]
	switch {
	case s.Type == "webhook":
		s.Webhook = &WebhookConfig{}
		members = append([]member{members[0]}, d.webhook(s.Webhook)...)
	case remote:
		server, its := start(d)
		s.Server = server
		members = append(members, its...)
	case s.Type == "folder" || s.Type == "upload":
		members = append(members, member{"path", d.text(&s.Path)})
	default:
		d.fail(joined(path, "type"), at, "unknown type %q; known are %s", s.Type,
			strings.Join(slices.Sorted(maps.Keys(servers)), ", ")+", folder, upload, webhook")
		return
	}
	before := len(d.problems)
	lines := map[string]*yaml.Node{}
	for i, m := range members {
		members[i].read = func(path string, n *yaml.Node) { lines[m.name] = n; m.read(path, n) }
	}
	d.object(path, node, members...)
	if len(d.problems) > before {
		return
	}
	if s.Webhook != nil && lines["verify"] == nil {
		d.fail(joined(path, "verify"), node, "is missing: write verify: {secret: NAME}, or what else the sender shows")
	}
	if s.Type == "folder" && s.Path == "" {
		d.fail(joined(path, "path"), node, "a folder needs its path")
	}
	if name, message := s.Rules.Check(s.After); message != "" {
		top, _, _ := strings.Cut(name, ".")
		if at := lines[top]; at != nil {
			node = at
		}
		d.fail(joined(path, name), node, "%s", message)
	}
	if f, ok := s.Server.(*source.FTP); ok && f.Port == 0 {
		f.Port = 21
		if f.TLS == "implicit" {
			f.Port = 990
		}
	}
	if s.Server == nil {
		return
	}
	if name, message := s.Server.Check(); message != "" {
		top, _, _ := strings.Cut(name, ".")
		if at := lines[top]; at != nil {
			node = at
		}
		d.fail(joined(path, name), node, "%s", message)
	}
}

// Package front answers the part of ClickHouse's HTTP interface that the driver
// clickhouse-go/v2 uses, from the engine inside the process. Test tooling; of
// tollstream it imports only deploy/clickhouse-current/engine.
//
// Invariants: a statement runs on one session at a time; a request's settings do
// not outlive it; requests of one session_id share a session and wait for each
// other. There are no users, no quotas and no cancelling.
package front

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"

	"github.com/tollstream/tollstream/deploy/clickhouse-current/engine"
)

// maxRequestBytes bounds a request's body after unpacking.
const maxRequestBytes = 1 << 30

// maxSessions bounds the sessions that are kept for a session_id.
const maxSessions = 256

// Server is the HTTP handler.
type Server struct {
	path     string
	pool     chan *engine.Conn
	mu       sync.Mutex
	sessions map[string]*session
	version  string
	zone     string
}

// session is an engine session kept for a session_id.
type session struct {
	sync.Mutex
	conn *engine.Conn
}

// New opens n sessions on a data directory, "" for one in memory. The library
// must be loaded.
func New(path string, n int) (*Server, error) {
	s := &Server{path: path, pool: make(chan *engine.Conn, n), sessions: map[string]*session{}}
	for range n {
		conn, err := engine.Connect(path)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.pool <- conn
	}
	conn := <-s.pool
	answer, err := conn.Query([]byte("SELECT version(), timezone()"), "TSV", nil)
	s.pool <- conn
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("ask the engine for its version: %w", err)
	}
	s.version, s.zone, _ = strings.Cut(strings.TrimSpace(string(answer)), "\t")
	return s, nil
}

// Close ends all sessions, and with them the engine. No request may be running.
func (s *Server) Close() {
	for _, kept := range s.sessions {
		kept.conn.Close()
	}
	for range len(s.pool) {
		(<-s.pool).Close()
	}
}

var (
	greeting   = regexp.MustCompile(`(?i)^\s*SELECT\s+displayName\(\),\s*version\(\),\s*revision\(\),\s*timezone\(\)[;\s]*$`)
	errorCode  = regexp.MustCompile(`^Code: (\d+)`)
	errorTwice = regexp.MustCompile(`^Code: \d+\. DB::Exception: (Code: \d+\. )`)
	formatName = regexp.MustCompile(`(?is)\s+FORMAT\s+(\w+)\s*;?\s*$`)
	settings   = regexp.MustCompile(`(?is)\s+SETTINGS\s+\w+\s*=[^()]*$`)
	identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// parameters of the URL that are not settings of the engine.
var parameters = map[string]bool{
	"query": true, "database": true, "default_format": true, "client_protocol_version": true, "query_id": true,
	"quota_key": true, "session_id": true, "session_timeout": true, "session_check": true, "user": true,
	"password": true, "compress": true, "decompress": true, "buffer_size": true, "wait_end_of_query": true,
	"stacktrace": true, "role": true, "close_session": true,
}

// ServeHTTP answers a ping or runs a statement. An error of the engine is
// answered with status 500, its code in a header and its text in the body, as a
// server does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ping" {
		_, _ = io.WriteString(w, "Ok.\n")
		return
	}
	ask := r.URL.Query()
	answer, err := s.run(r, ask)
	w.Header().Set("X-ClickHouse-Server-Display-Name", "clickhouse-current")
	if id := ask.Get("query_id"); id != "" {
		w.Header().Set("X-ClickHouse-Query-Id", id)
	}
	status := http.StatusOK
	if err != nil {
		text := errorTwice.ReplaceAllString(err.Error(), "$1")
		if m := errorCode.FindStringSubmatch(text); m != nil {
			w.Header().Set("X-ClickHouse-Exception-Code", m[1])
		}
		answer, status = []byte(text+"\n"), http.StatusInternalServerError
	}
	if answer, err = pack(w.Header(), r.Header, ask, answer); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

// pack compresses an answer in the way that was asked for: ClickHouse's own
// frames, gzip, or not at all.
func pack(reply, request http.Header, ask url.Values, answer []byte) ([]byte, error) {
	if len(answer) == 0 {
		return answer, nil
	}
	if ask.Get("compress") == "1" {
		return frames(answer, ask.Get("network_compression_method"))
	}
	if !strings.Contains(request.Get("Accept-Encoding"), "gzip") {
		return answer, nil
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(answer)
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, err
	}
	reply.Set("Content-Encoding", "gzip")
	return packed.Bytes(), nil
}

func frames(answer []byte, method string) ([]byte, error) {
	const frameBytes = 1 << 20
	m := compress.LZ4
	if strings.EqualFold(method, "ZSTD") {
		m = compress.ZSTD
	}
	w := compress.NewWriter(compress.LevelZero, m)
	var packed []byte
	for len(answer) > 0 {
		n := min(len(answer), frameBytes)
		if err := w.Compress(answer[:n]); err != nil {
			return nil, fmt.Errorf("compress the answer: %w", err)
		}
		packed, answer = append(packed, w.Data...), answer[n:]
	}
	return packed, nil
}

// body reads and unpacks a request's body.
func body(r *http.Request, ask url.Values) ([]byte, error) {
	var from io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(from)
		if err != nil {
			return nil, err
		}
		from = z
	}
	if ask.Get("decompress") == "1" {
		from = compress.NewReader(from)
	}
	data, err := io.ReadAll(io.LimitReader(from, maxRequestBytes))
	if err != nil && !errors.Is(err, io.EOF) { // the frame reader wraps its end
		return nil, err
	}
	return data, nil
}

// run runs the statement of a request: either the body is the statement, or the
// statement is in the URL and the body is data to insert.
func (s *Server) run(r *http.Request, ask url.Values) ([]byte, error) {
	data, err := body(r, ask)
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	sql := []byte(strings.TrimSpace(ask.Get("query")))
	inserting := len(sql) > 0 && len(data) > 0
	if len(sql) == 0 {
		sql = data
	}
	if !inserting && greeting.Match(sql) {
		return s.greet(ask.Get("client_protocol_version") != ""), nil
	}
	conn, giveBack, err := s.take(ask.Get("session_id"))
	if err != nil {
		return nil, err
	}
	defer giveBack()
	reset, params, err := prepare(conn, ask)
	if err != nil {
		return nil, err
	}
	defer reset()
	if inserting {
		return nil, insert(conn, string(sql), data, params)
	}
	format := ask.Get("default_format")
	if format == "" {
		format = "TabSeparated"
	}
	return conn.Query(sql, format, params)
}

// take returns an engine session for one request, and how to give it back.
func (s *Server) take(id string) (*engine.Conn, func(), error) {
	if id == "" {
		conn := <-s.pool
		return conn, func() { s.pool <- conn }, nil
	}
	kept, err := s.keep(id)
	if err != nil {
		return nil, nil, err
	}
	kept.Lock()
	return kept.conn, kept.Unlock, nil
}

func (s *Server) keep(id string) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept := s.sessions[id]; kept != nil {
		return kept, nil
	}
	if len(s.sessions) >= maxSessions {
		return nil, fmt.Errorf("more than %d sessions", maxSessions)
	}
	conn, err := engine.Connect(s.path)
	if err != nil {
		return nil, err
	}
	kept := &session{conn: conn}
	s.sessions[id] = kept
	return kept, nil
}

// prepare moves a session to the request's database and sets its settings. It
// returns what takes the settings back, and the statement's parameters.
func prepare(conn *engine.Conn, ask url.Values) (reset func(), params map[string]string, err error) {
	database := ask.Get("database")
	if database == "" {
		database = "default"
	}
	if _, err := conn.Query([]byte("USE `"+strings.ReplaceAll(database, "`", "\\`")+"`"), "Null", nil); err != nil {
		return nil, nil, err
	}
	params = map[string]string{}
	var set, unset []string
	for name, values := range ask {
		if param, is := strings.CutPrefix(name, "param_"); is {
			params[param] = values[0]
		} else if !parameters[name] && identifier.MatchString(name) {
			set = append(set, name+"="+quote(values[0]))
			unset = append(unset, name+"=DEFAULT")
		}
	}
	if len(set) == 0 {
		return func() {}, params, nil
	}
	if _, err := conn.Query([]byte("SET "+strings.Join(set, ", ")), "Null", nil); err != nil {
		return nil, nil, err
	}
	return func() { _, _ = conn.Query([]byte("SET "+strings.Join(unset, ", ")), "Null", nil) }, params, nil
}

func quote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

// insert runs "INSERT … FORMAT f" on data. The engine may cut binary data that
// stands behind the statement, so the data takes the way through a file.
func insert(conn *engine.Conn, sql string, data []byte, params map[string]string) error {
	m := formatName.FindStringIndex(sql)
	if m == nil {
		_, err := conn.Query(append([]byte(sql+"\n"), data...), "Null", params)
		return err
	}
	f, err := os.CreateTemp(memoryDir(), "clickhouse-current-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	at := m[0]
	if before := settings.FindStringIndex(sql); before != nil {
		at = before[0]
	}
	_, err = conn.Query([]byte(sql[:at]+" FROM INFILE "+quote(f.Name())+sql[at:]), "Null", params)
	return err
}

// memoryDir is a file system in memory if there is one.
func memoryDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// greet answers the driver's first question, one row of four columns in the
// Native format. The driver decodes this answer by its own revision, with a
// block header and a serialization byte per column, and what follows by the
// revision that the answer names: 0, which is how the engine writes.
func (s *Server) greet(withRevision bool) []byte {
	var b proto.Buffer
	if withRevision {
		const overflows, bucket, end = 1, 2, 0
		b.PutUVarInt(overflows)
		b.PutBool(false)
		b.PutUVarInt(bucket)
		b.PutInt32(-1)
		b.PutUVarInt(end)
	}
	b.PutUVarInt(4) // columns
	b.PutUVarInt(1) // rows
	column := func(name, kind string) {
		b.PutString(name)
		b.PutString(kind)
		if withRevision {
			b.PutBool(false)
		}
	}
	column("displayName()", "String")
	b.PutString("clickhouse-current")
	column("version()", "String")
	b.PutString(s.version)
	column("revision()", "UInt32")
	b.PutUInt32(0)
	column("timezone()", "String")
	b.PutString(s.zone)
	return b.Buf
}

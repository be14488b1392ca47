// Package engine runs the ClickHouse engine inside the process, from the shared
// library libchdb.so of the npm package @chdb/lib-linux-x64-gnu, without cgo.
// It serves the test tooling in deploy only and imports no other package of
// tollstream. linux/amd64 only.
//
// Invariants: the library is loaded once per process and never unloaded; one
// data directory per process; a Conn serves one call at a time; no memory of the
// library is kept beyond the call that returned it.
package engine

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library holds the functions that are used. Strings go in as pointer and
// length, results come back as a handle that must be freed.
var library struct {
	once sync.Once
	err  error

	connect    func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	disconnect func(conn unsafe.Pointer)
	query      func(conn, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr) unsafe.Pointer
	queryWith  func(conn, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr,
		names, nameLens, values, valueLens unsafe.Pointer, n uintptr) unsafe.Pointer
	resultData  func(result unsafe.Pointer) unsafe.Pointer
	resultLen   func(result unsafe.Pointer) uintptr
	resultError func(result unsafe.Pointer) unsafe.Pointer
	resultFree  func(result unsafe.Pointer)
	setSignals  func(enabled int32)
}

// Load loads the library at path. Later calls return the first one's result.
func Load(path string) error {
	library.once.Do(func() {
		handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
		if err != nil {
			library.err = fmt.Errorf("load the engine: %w", err)
			return
		}
		for name, function := range map[string]any{
			"chdb_connect":                     &library.connect,
			"chdb_close_conn":                  &library.disconnect,
			"chdb_query_n":                     &library.query,
			"chdb_query_with_params_n":         &library.queryWith,
			"chdb_result_buffer":               &library.resultData,
			"chdb_result_length":               &library.resultLen,
			"chdb_result_error":                &library.resultError,
			"chdb_destroy_query_result":        &library.resultFree,
			"chdb_set_signal_handlers_enabled": &library.setSignals,
		} {
			if _, err := purego.Dlsym(handle, name); err != nil {
				library.err = fmt.Errorf("load the engine: %s is another version: %w", path, err)
				return
			}
			purego.RegisterLibFunc(function, handle, name)
		}
		keepSignals(func() { library.setSignals(0) })
	})
	return library.err
}

// keepSignals gives Go its signal handlers back after call: the library resets
// SIGSEGV and others to their defaults even when its own handlers are off, and
// Go needs them to turn a nil dereference into a panic.
func keepSignals(call func()) {
	type action struct{ handler, flags, restorer, mask uintptr }
	const signals = 64
	var before [signals + 1]action
	each := func(do func(signal, was uintptr)) {
		for s := uintptr(1); s <= signals; s++ {
			do(s, uintptr(unsafe.Pointer(&before[s])))
		}
	}
	each(func(s, was uintptr) { _, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, s, 0, was, 8, 0, 0) })
	call()
	each(func(s, was uintptr) {
		switch s {
		case uintptr(syscall.SIGKILL), uintptr(syscall.SIGSTOP), 32, 33: // fixed, or the C library's own
		default:
			_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, s, was, 0, 8, 0, 0)
		}
	})
	runtime.KeepAlive(&before)
}

// Conn is a session of the engine.
type Conn struct {
	owner  unsafe.Pointer // what connect returned
	handle *unsafe.Pointer
}

// Connect opens a session on a data directory, "" for one in memory. The first
// one of the process starts the engine, the last Close stops it.
func Connect(path string) (*Conn, error) {
	args := []string{"clickhouse"}
	if path != "" {
		args = append(args, "--path="+path)
	}
	argv := make([]unsafe.Pointer, len(args))
	for i, arg := range args {
		argv[i] = unsafe.Pointer(&append([]byte(arg), 0)[0])
	}
	var owner unsafe.Pointer
	keepSignals(func() { owner = library.connect(int32(len(argv)), unsafe.Pointer(&argv[0])) })
	runtime.KeepAlive(argv)
	if owner == nil {
		return nil, fmt.Errorf("open the engine on %q: it gives no reason", path)
	}
	return &Conn{owner, (*unsafe.Pointer)(owner)}, nil
}

// Close ends the session.
func (c *Conn) Close() { keepSignals(func() { library.disconnect(c.owner) }) }

// Query runs one statement and returns its result in the given format. params
// are the values of its {name:Type} parameters. An error carries the engine's
// own text, "Code: 62. DB::Exception: …".
func (c *Conn) Query(sql []byte, format string, params map[string]string) ([]byte, error) {
	name := []byte(format)
	var result unsafe.Pointer
	if len(params) == 0 {
		result = library.query(*c.handle, first(sql), uintptr(len(sql)), first(name), uintptr(len(name)))
	} else {
		names, values := newTexts(len(params)), newTexts(len(params))
		for k, v := range params {
			names.add(k)
			values.add(v)
		}
		result = library.queryWith(*c.handle, first(sql), uintptr(len(sql)), first(name), uintptr(len(name)),
			unsafe.Pointer(&names.at[0]), unsafe.Pointer(&names.len[0]),
			unsafe.Pointer(&values.at[0]), unsafe.Pointer(&values.len[0]), uintptr(len(params)))
		runtime.KeepAlive(names)
		runtime.KeepAlive(values)
	}
	runtime.KeepAlive(sql)
	runtime.KeepAlive(name)
	if result == nil {
		return nil, errors.New("the engine returned nothing")
	}
	defer library.resultFree(result)
	if text := cText(library.resultError(result)); text != "" {
		return nil, errors.New(text)
	}
	n := library.resultLen(result)
	if n == 0 {
		return nil, nil
	}
	return bytes.Clone(unsafe.Slice((*byte)(library.resultData(result)), n)), nil
}

// texts are strings as the library takes them: an array of pointers and one of
// lengths.
type texts struct {
	at  []unsafe.Pointer
	len []uintptr
}

func newTexts(n int) *texts {
	return &texts{make([]unsafe.Pointer, 0, n), make([]uintptr, 0, n)}
}

func (t *texts) add(s string) {
	terminated := append([]byte(s), 0)
	t.at = append(t.at, unsafe.Pointer(&terminated[0]))
	t.len = append(t.len, uintptr(len(s)))
}

func first(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// cText copies a zero-terminated string, "" for a nil pointer.
func cText(p unsafe.Pointer) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}

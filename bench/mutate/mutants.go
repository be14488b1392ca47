package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is a change of one place.
type mutant struct {
	id           int
	file, in     string // in: the function
	line         int
	before, what string
	nth          int // of the same change of the same text in the function, from 0
}

// place is where to look now.
func (m *mutant) place() string { return fmt.Sprintf("%s:%d", m.file, m.line) }

// change says what is changed, whatever the line.
func (m *mutant) change() string {
	s := m.in + ": " + m.before + " → " + m.what
	if m.nth > 0 {
		s += fmt.Sprintf(" (%d)", m.nth+1)
	}
	return s
}

// sourcePackage is what is changed.
type sourcePackage struct {
	path, name, dir string
	fset            *token.FileSet
	files           []*ast.File
	text            map[*ast.File][]byte
	info            *types.Info
	changed         map[string]string // by path: the file's text with all changes in it
}

func goList(format string, args ...string) ([]string, error) {
	out, err := exec.Command("go", append([]string{"list", "-f", format}, args...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("go list %v: %w", args, err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), nil
}

func loadPackage(name string) (*sourcePackage, error) {
	listed, err := goList("{{.ImportPath}}\t{{.Name}}\t{{.Dir}}\t{{join .GoFiles \" \"}}", name)
	if err != nil {
		return nil, err
	}
	fields := strings.Split(listed[0], "\t")
	p := &sourcePackage{
		path: fields[0], name: fields[1], dir: fields[2], fset: token.NewFileSet(), text: map[*ast.File][]byte{},
		info: &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}},
	}
	for _, file := range strings.Fields(fields[3]) {
		path := filepath.Join(p.dir, file)
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(p.fset, path, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, f)
		p.text[f] = text
	}
	exported, err := goList("{{.ImportPath}}\t{{.Export}}", "-export", "-deps", name)
	if err != nil {
		return nil, err
	}
	compiled := map[string]string{}
	for _, line := range exported {
		path, file, _ := strings.Cut(line, "\t")
		compiled[path] = file
	}
	lookup := func(path string) (io.ReadCloser, error) { return os.Open(compiled[path]) }
	check := types.Config{Importer: importer.ForCompiler(p.fset, "gc", lookup)}
	_, err = check.Check(p.path, p.fset, p.files, p.info)
	return p, err
}

// site is a place with its changes: the text is replaced by what write makes of it, where read gives the text of a part with the
// changes inside of it.
type site struct {
	from, to token.Pos
	write    func(read func(from, to token.Pos) string) string
}

// mutator walks over one file.
type mutator struct {
	*sourcePackage
	file    *ast.File
	in      string
	sites   []site
	mutants *[]mutant
	seen    map[string]int
}

// mutate draws up all changes, and the texts with the changes in them.
func (p *sourcePackage) mutate(only []string) ([]mutant, error) {
	var all []mutant
	p.changed = map[string]string{}
	for _, f := range p.files {
		path := p.fset.Position(f.Pos()).Filename
		if len(only) > 0 && !slices.Contains(only, filepath.Base(path)) {
			continue
		}
		m := &mutator{sourcePackage: p, file: f, mutants: &all, seen: map[string]int{}}
		for _, d := range f.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && d.Body != nil {
				m.function(d)
			}
		}
		slices.SortStableFunc(m.sites, func(a, b site) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to)) })
		if len(m.sites) > 0 {
			p.changed[path] = m.read(f.FileStart, f.FileEnd, 0)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("nothing to change in %s", p.path)
	}
	p.changed[filepath.Join(p.dir, "zz_mutants.go")] = "package " + p.name + "\n" + switches
	return all, nil
}

func (m *mutator) function(d *ast.FuncDecl) {
	m.in = d.Name.Name
	if d.Recv != nil {
		m.in = strings.TrimPrefix(types.ExprString(d.Recv.List[0].Type), "*") + "." + m.in
	}
	ast.Inspect(d.Body, func(n ast.Node) bool {
		if n != nil {
			m.node(n)
		}
		return true
	})
}

// read is the file's text with the changes of sites from the first on.
func (m *mutator) read(from, to token.Pos, first int) string {
	var b strings.Builder
	base := m.file.FileStart
	for i := first; i < len(m.sites); i++ {
		s := &m.sites[i]
		if s.from < from || s.to > to {
			continue
		}
		b.Write(m.text[m.file][from-base : s.from-base])
		b.WriteString(s.write(func(from, to token.Pos) string { return m.read(from, to, i+1) }))
		from = s.to
	}
	b.Write(m.text[m.file][from-base : to-base])
	return b.String()
}

// add is the number of another change.
func (m *mutator) add(n ast.Node, what string) int {
	base := m.file.FileStart
	before := strings.Join(strings.Fields(string(m.text[m.file][n.Pos()-base:n.End()-base])), " ")
	at := m.fset.Position(n.Pos())
	mut := mutant{
		id: len(*m.mutants) + 1, file: filepath.Base(at.Filename), line: at.Line, in: m.in, before: before, what: what,
	}
	key := mut.change()
	mut.nth = m.seen[key]
	m.seen[key]++
	*m.mutants = append(*m.mutants, mut)
	return mut.id
}

func (m *mutator) put(n ast.Node, write func(read func(from, to token.Pos) string) string) {
	m.sites = append(m.sites, site{n.Pos(), n.End(), write})
}

var boundary = map[token.Token]token.Token{token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR}

var negated = map[token.Token]token.Token{
	token.LSS: token.GEQ, token.LEQ: token.GTR, token.GTR: token.LEQ, token.GEQ: token.LSS, token.EQL: token.NEQ, token.NEQ: token.EQL,
}

var reckoned = map[token.Token]token.Token{token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL, token.REM: token.MUL}

func (m *mutator) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		m.binary(n)
	case *ast.IfStmt:
		m.condition(n.Cond)
	case *ast.ForStmt:
		m.condition(n.Cond)
	case *ast.Ident:
		if o := m.info.Uses[n]; o != nil && o.Parent() == types.Universe && (n.Name == "true" || n.Name == "false") {
			other := map[string]string{"true": "false", "false": "true"}[n.Name]
			id := m.add(n, other)
			m.put(n, func(func(from, to token.Pos) string) string { return fmt.Sprintf("(mutated(%d) != %s)", id, n.Name) })
		}
	case *ast.CallExpr:
		m.decimals(n)
	case *ast.BlockStmt:
		for _, s := range n.List {
			m.statement(s)
		}
	case *ast.CaseClause:
		for _, s := range n.Body {
			m.statement(s)
		}
	}
}

func (m *mutator) binary(n *ast.BinaryExpr) {
	if m.info.Types[n].Value != nil {
		return
	}
	x := func(read func(from, to token.Pos) string) string { return read(n.X.Pos(), n.X.End()) }
	y := func(read func(from, to token.Pos) string) string { return read(n.Y.Pos(), n.Y.End()) }
	switch n.Op {
	case token.EQL, token.NEQ:
		id := m.add(n, negated[n.Op].String())
		m.put(n, func(read func(from, to token.Pos) string) string {
			return fmt.Sprintf("(mutated(%d) != (%s %s %s))", id, x(read), n.Op, y(read))
		})
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		id, bound := m.add(n, negated[n.Op].String()), m.add(n, boundary[n.Op].String())
		m.put(n, func(read func(from, to token.Pos) string) string {
			a, b := x(read), y(read)
			if n.Op == token.LSS || n.Op == token.GTR {
				return fmt.Sprintf("(mutated(%d) != (%s %s %s || mutated(%d) && %s == %s))", id, a, n.Op, b, bound, a, b)
			}
			return fmt.Sprintf("(mutated(%d) != (%s %s %s && !(mutated(%d) && %s == %s)))", id, a, n.Op, b, bound, a, b)
		})
	case token.LAND:
		swap, left, right := m.add(n, "||"), m.add(n, "right side only"), m.add(n, "left side only")
		m.put(n, func(read func(from, to token.Pos) string) string {
			b := y(read)
			return fmt.Sprintf("((mutated(%d) || %s) && (mutated(%d) || mutated(%d) || %s) || mutated(%d) && %s)", left, x(read), swap, right, b, swap, b)
		})
	case token.LOR:
		swap, left, right := m.add(n, "&&"), m.add(n, "right side only"), m.add(n, "left side only")
		m.put(n, func(read func(from, to token.Pos) string) string {
			b := y(read)
			return fmt.Sprintf("((!mutated(%d) && %s || !mutated(%d) && !mutated(%d) && %s) && (!mutated(%d) || %s))", left, x(read), swap, right, b, swap, b)
		})
	default:
		other, is := reckoned[n.Op]
		basic, number := m.info.Types[n].Type.Underlying().(*types.Basic)
		if !is || !number || basic.Info()&types.IsInteger == 0 || basic.Info()&types.IsUntyped != 0 {
			return
		}
		id := m.add(n, other.String())
		typ := types.TypeString(m.info.Types[n].Type, func(of *types.Package) string {
			if of.Path() == m.path {
				return ""
			}
			return of.Name()
		})
		m.put(n, func(read func(from, to token.Pos) string) string {
			return fmt.Sprintf("mutant%s[%s](%d, %s, %s)", names[n.Op], typ, id, x(read), y(read))
		})
	}
}

var names = map[token.Token]string{token.ADD: "Add", token.SUB: "Sub", token.MUL: "Mul", token.QUO: "Quo", token.REM: "Rem"}

// condition turns one round that is not a comparison, which is changed by itself.
func (m *mutator) condition(e ast.Expr) {
	switch e := ast.Unparen(e).(type) {
	case nil, *ast.BinaryExpr:
	default:
		if v := m.info.Types[e].Value; v != nil && v.Kind() == constant.Bool {
			return
		}
		id := m.add(e, "not")
		m.put(e, func(read func(from, to token.Pos) string) string {
			return fmt.Sprintf("(mutated(%d) != (%s))", id, read(e.Pos(), e.End()))
		})
	}
}

// statement leaves one out.
func (m *mutator) statement(s ast.Stmt) {
	what := "left out"
	switch s := s.(type) {
	case *ast.ExprStmt:
		if call, ok := s.X.(*ast.CallExpr); ok {
			if f, ok := call.Fun.(*ast.Ident); ok && f.Name == "panic" {
				return
			}
		}
	case *ast.AssignStmt:
		if s.Tok == token.DEFINE || !slices.ContainsFunc(s.Lhs, func(e ast.Expr) bool { i, ok := e.(*ast.Ident); return !ok || i.Name != "_" }) {
			return
		}
	case *ast.IncDecStmt, *ast.DeferStmt:
	case *ast.BranchStmt:
		if s.Tok != token.CONTINUE && s.Tok != token.BREAK {
			return
		}
	case *ast.ReturnStmt:
		if len(s.Results) > 0 {
			return
		}
	default:
		return
	}
	id := m.add(s, what)
	m.put(s, func(read func(from, to token.Pos) string) string {
		return fmt.Sprintf("if !mutated(%d) { %s }", id, read(s.Pos(), s.End()))
	})
}

// decimals exchanges Add and Sub of money.Decimal.
func (m *mutator) decimals(n *ast.CallExpr) {
	f, ok := n.Fun.(*ast.SelectorExpr)
	if !ok || f.Sel.Name != "Add" && f.Sel.Name != "Sub" || len(n.Args) != 1 {
		return
	}
	s := m.info.Selections[f]
	if s == nil || !strings.HasSuffix(s.Recv().String(), "ledger/money.Decimal") {
		return
	}
	other := map[string]string{"Add": "Sub", "Sub": "Add"}[f.Sel.Name]
	id := m.add(n, "."+other)
	m.put(n, func(read func(from, to token.Pos) string) string {
		x := read(f.X.Pos(), f.X.End())
		return fmt.Sprintf("mutantOf(%d, (%s).%s, (%s).%s)(%s)", id, x, f.Sel.Name, x, other, read(n.Args[0].Pos(), n.Args[0].End()))
	})
}

// switches is what the changed package needs.
const switches = `
import (
	"os"
	"strconv"
	"syscall"
)

// MUTANT is the number of the change that is made; MUTANTS a file in which a byte is set for each that is come by.
var mutantOn, mutantsMet = mutants()

func mutants() (on int, met []byte) {
	on, _ = strconv.Atoi(os.Getenv("MUTANT"))
	f, err := os.OpenFile(os.Getenv("MUTANTS"), os.O_RDWR, 0)
	if err != nil {
		return on, nil
	}
	size, _ := f.Seek(0, 2)
	met, _ = syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	return on, met
}

func mutated(id int) bool {
	if mutantsMet != nil {
		mutantsMet[id] = 1
	}
	return mutantOn == id
}

type mutantNumber interface{ ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr }

func mutantAdd[T mutantNumber](id int, x, y T) T { if mutated(id) { return x - y }; return x + y }
func mutantSub[T mutantNumber](id int, x, y T) T { if mutated(id) { return x + y }; return x - y }
func mutantMul[T mutantNumber](id int, x, y T) T { if mutated(id) { return x / y }; return x * y }
func mutantQuo[T mutantNumber](id int, x, y T) T { if mutated(id) { return x * y }; return x / y }
func mutantRem[T mutantNumber](id int, x, y T) T { if mutated(id) { return x * y }; return x % y }
func mutantOf[T any](id int, x, y T) T { if mutated(id) { return y }; return x }
`

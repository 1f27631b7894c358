// Command mutate searches for mistakes that no test finds: it inverts one place of the pure core at a time (each range over
// durability sets, each max and min, each comparison of incarnations and of versions of a member list), in a copy of the tree, and
// lets the package's unit tests and then the simulator look for it. What both pass survives: the place is not tested, or does not matter.
//
//	go run ./test/sim/mutate [-seeds N] [-only TEXT]
//
// It is run by hand, from the top of the tree, and takes about half a minute for each place. It changes nothing but its copy.
package main

import (
	"context"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"mainstay/test/sim/world"
)

// core is what is mutated: where the protocol is decided.
var core = []string{"controller/state", "controller/decide", "controller/member", "controller/loop", "fencing", "health"}

// copied is what a build of the core, its tests and the simulator need.
var copied = []string{"cmd", "controller", "fencing", "health", "test", "go.mod", "go.sum"}

// mutation replaces a piece of one file.
type mutation struct {
	file     string
	line     int
	from, to int // offsets
	old, new string
}

func (m mutation) String() string {
	return fmt.Sprintf("%s:%d: %s -> %s", m.file, m.line, m.old, m.new)
}

func main() {
	seeds := flag.Int("seeds", 2000, "plain scenarios to play against each mutation; a quarter as many with app servers")
	only := flag.String("only", "", "only where the line FILE:LINE: OLD -> NEW contains this")
	list := flag.Bool("list", false, "list them, and change nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *seeds, *only, *list); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, seeds int, only string, list bool) error {
	var all []mutation
	for _, dir := range core {
		found, err := mutations(dir)
		if err != nil {
			return err
		}
		for _, m := range found {
			if strings.Contains(m.String(), only) {
				all = append(all, m)
			}
		}
	}
	if list {
		for _, m := range all {
			fmt.Println(m)
		}
		return nil
	}
	tree, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	for _, name := range copied {
		if err := copyTo(tree, name); err != nil {
			return err
		}
	}
	survive := 0
	for _, m := range all {
		fate, err := try(ctx, tree, m, seeds)
		if err != nil {
			return err
		}
		if fate == survives {
			survive++
		}
		fmt.Printf("%-14s %s\n", fate, m)
	}
	fmt.Printf("%d of %d survive %d scenarios\n", survive, len(all), seeds)
	return nil
}

func copyTo(tree, name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.CopyFS(filepath.Join(tree, name), os.DirFS(name))
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(tree, name), b, 0o600)
}

// The fates of a mutation.
const (
	survives   = "SURVIVES"
	noBuild    = "does not build"
	byUnits    = "unit tests"
	bySimulate = "simulator"
)

// try applies one to the tree, looks who finds it, and takes it back.
func try(ctx context.Context, tree string, m mutation, seeds int) (fate string, err error) {
	path := filepath.Join(tree, m.file)
	was, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	mutated := string(was[:m.from]) + m.new + string(was[m.to:])
	if err := os.WriteFile(path, []byte(mutated), 0o600); err != nil {
		return "", err
	}
	defer func() {
		if back := os.WriteFile(path, was, 0o600); err == nil {
			err = back
		}
	}()
	passes := func(args ...string) bool {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = tree
		return cmd.Run() == nil
	}
	simulator := filepath.Join(tree, "simulator")
	switch {
	case !passes("build", "-o", simulator, "./test/sim"):
		fate = noBuild
	case !passes("test", "-count=1", "-timeout=5m", "./"+filepath.Dir(m.file)):
		fate = byUnits
	case !plays(ctx, simulator, 1, seeds) || !plays(ctx, simulator, world.AppsFrom, seeds/appsShare):
		fate = bySimulate
	default:
		fate = survives
	}
	return fate, ctx.Err()
}

// appsShare: for so many plain scenarios one with apps is played, which takes longer.
const appsShare = 4

func plays(ctx context.Context, simulator string, first uint64, seeds int) bool {
	return exec.CommandContext(ctx, simulator, "-first", strconv.FormatUint(first, 10), "-seeds", strconv.Itoa(seeds)).Run() == nil
}

// mutations are those of the files of a package, but for its tests.
func mutations(dir string) (all []mutation, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, src, 0)
		if err != nil {
			return nil, err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			from, to, put := turn(n, func(e ast.Expr) string {
				return string(src[fset.Position(e.Pos()).Offset:fset.Position(e.End()).Offset])
			})
			if put != "" {
				a, b := fset.Position(from), fset.Position(to)
				all = append(all, mutation{file, a.Line, a.Offset, b.Offset, string(src[a.Offset:b.Offset]), put})
			}
			return true
		})
	}
	return all, nil
}

var turned = map[token.Token]string{token.EQL: "!=", token.NEQ: "==", token.LSS: ">=", token.GEQ: "<", token.GTR: "<=", token.LEQ: ">"}

// turn returns the replacement for the piece between from and to of a node; "" for none.
func turn(n ast.Node, text func(ast.Expr) string) (from, to token.Pos, put string) {
	switch n := n.(type) {
	case *ast.RangeStmt:
		if strings.EqualFold(last(n.X), "sets") {
			x := text(n.X)
			return n.X.Pos(), n.X.End(), x + "[max(0, len(" + x + ")-1):]"
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "max" || f.Name == "min") {
			return f.Pos(), f.End(), map[string]string{"max": "min", "min": "max"}[f.Name]
		}
	case *ast.BinaryExpr:
		if op := turned[n.Op]; op != "" && (compared(n.X) || compared(n.Y)) {
			return n.OpPos, n.OpPos + token.Pos(len(n.Op.String())), op
		}
	}
	return 0, 0, ""
}

// compared: an incarnation, or the version of a member list.
func compared(e ast.Expr) bool {
	name := last(e)
	return strings.Contains(strings.ToLower(name), "incarnation") || name == "List"
}

func last(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// Package arch holds the shape of the repository: which package may import
// which, and the few rules that a compiler does not know. It has tests only.
// They read the source, so they take milliseconds and need no build.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/solera-ml/solera"
	root   = "../.."
)

// The import map. A package may import the packages of this module that its
// line names, and no others; "." is the root. Lines stand in the order of the
// house: every package imports only from lines above its own, so nothing can
// import upwards. A new package needs a line here and a line in
// ARCHITECTURE.md; that is on purpose. What lies in a package's internal folder
// belongs to that package and shares its line.
var house = []struct {
	pkg     string
	half    half
	imports string
}{
	{".", vocabulary, ""},

	{"numeric", learning, ""},
	{"tensor", learning, "numeric"},
	{"table", learning, ". numeric tensor"},
	{"dataset", learning, ". table"},
	{"split", learning, ". numeric table"},
	{"transform", learning, ". numeric table tensor"},
	{"nn", learning, ". numeric tensor"},
	{"nn/nntest", learning, "nn numeric tensor"},
	{"eval", learning, ". numeric table tensor"},
	{"fit", learning, ". eval nn numeric tensor"},
	{"model", learning, ". eval nn numeric table tensor transform"},
	{"explain", learning, ". eval model nn numeric table tensor transform"},

	{"provenance", rules, "."},
	{"tracking", rules, ". provenance"},
	{"auth", rules, "."},
	{"live", rules, "."},
	{"sweep", rules, ". numeric"},
	{"pipeline", rules, ". dataset eval explain fit model nn numeric split table tensor tracking transform"},

	{"store", memory, "."},
	{"blob", memory, "."},
	{"blob/blobtest", memory, ". blob"},
	{"host", memory, "."},

	{"web", rim, ""},
	{"internal/lenient", rim, ""},
	{"wandb", rim, ". internal/lenient tracking"},
	{"httpd/api", rim, ". auth eval live nn pipeline sweep table tracking provenance"},
	{"httpd/wandb", rim, ". auth internal/lenient table tracking sweep wandb"},
	{"httpd", rim, ". auth httpd/api httpd/wandb live tracking"},
	{"cmd/solera", rim, ". auth blob dataset eval explain fit host httpd live model nn numeric pipeline provenance split store table tensor tracking transform wandb web"},
}

type half string

const (
	vocabulary half = "vocabulary" // the standard library only
	learning   half = "learning"   // knows nothing of runs, servers or disks
	rules      half = "rules"      // the product, without SQL, HTTP or flags
	memory     half = "memory"     // queries and files, no rules
	rim        half = "rim"        // translation and wiring
)

// Modules from outside, and the packages that may import them. A dependency
// that one package hides can be replaced in one package.
var outside = map[string]string{
	"charm.land/lipgloss/v2":                            "cmd/solera",
	"github.com/danielgtaylor/huma/v2":                  "httpd/api",
	"github.com/goccy/go-yaml":                          "pipeline httpd/wandb cmd/solera",
	"github.com/in-toto/attestation":                    "provenance",
	"github.com/jackc/pgx/v5":                           "store",
	"github.com/klauspost/compress":                     "store tracking", // store: tests, to compare
	"github.com/lmittmann/tint":                         "cmd/solera",
	"github.com/minio/minio-go/v7":                      "blob",
	"github.com/parquet-go/parquet-go":                  "table httpd/wandb",
	"github.com/pressly/goose/v3":                       "store",
	"github.com/prometheus/client_golang":               "httpd",
	"github.com/secure-systems-lab/go-securesystemslib": "provenance",
	"github.com/shirou/gopsutil/v4":                     "host",
	"github.com/spf13/cobra":                            "cmd/solera",
	"github.com/vbauerster/mpb/v8":                      "cmd/solera",
	"github.com/vektah/gqlparser/v2":                    "httpd/wandb",
	"golang.org/x/crypto":                               "auth",
	"golang.org/x/sys":                                  "tensor blob store cmd/solera",
	"golang.org/x/term":                                 "cmd/solera",
	"google.golang.org/protobuf":                        "provenance",
	"modernc.org/sqlite":                                "store",
}

// Modules that only tests may import, in any package.
var testOnly = []string{"github.com/google/go-cmp", "github.com/johannesboyne/gofakes3", "github.com/rogpeppe/go-internal", "pgregory.net/rapid"}

// Packages of the standard library that are wrong here, and why.
var banned = map[string]string{
	"math/rand":    "its sequence is not ours to promise; use a numeric.Stream with a named purpose",
	"math/rand/v2": "random numbers come from a numeric.Stream with a named purpose",
	"io/ioutil":    "use io and os",
	"log":          "return the error, or log through log/slog at the rim",
	"plugin":       "the binary is static",
	"reflect":      "write the type out",
	"unsafe":       "only kernels may look under the types",
	"encoding/gob": "no file format that can make code run is ever read",
	"os/exec":      "the product starts no other program",
}

// Exceptions to banned, each a decision.
var permitted = map[string]string{
	"math/rand/v2": "numeric",
	// host: git alone, and so that nothing of a repository can run: docs/decisions/0018.
	// cmd/solera: the browser, as the system opens it, with an address of our own making: docs/decisions/0022.
	"os/exec": "host cmd/solera",
	"reflect": ". pipeline httpd/api", // decoding, and naming types to what describes them
	"unsafe":  "tensor table",         // table: text of a number without a copy
}

// Words that say nothing of the domain are no package names (docs/glossary.md).
var emptyWords = regexp.MustCompile(`^(utils?|helpers?|common|shared|misc|base|lib|core|data|types|models|entity|entities|managers?|services?|providers?|processors?|controllers?|repositor(y|ies)|interfaces?)$`)

// Functions of package math whose last bit differs between CPUs, because some
// ports have assembly for them. Square root, rounding, comparison and FMA are
// exact everywhere.
var inexact = regexp.MustCompile(`^(Acos|Acosh|Asin|Asinh|Atan|Atan2|Atanh|Cbrt|Cos|Cosh|Erf|Erfc|Erfcinv|Erfinv|Exp|Exp2|Expm1|Gamma|Hypot|J0|J1|Jn|Lgamma|Log|Log10|Log1p|Log2|Pow|Sin|Sincos|Sinh|Tan|Tanh|Y0|Y1|Yn)$`)

// home returns the package whose line counts for pkg: itself, or the owner of
// the internal folder that it lies in.
func home(pkg string) string {
	owner, _, _ := strings.Cut(pkg, "/internal/")
	return owner
}

// isTool reports whether a package is a program that builds, measures or checks
// the repository; such a program is no part of the house and may use what it needs.
func isTool(pkg string, sources []source) bool {
	return strings.HasPrefix(pkg, "internal/") ||
		(sources[0].file.Name.Name == "main" && !strings.HasPrefix(pkg, "cmd/"))
}

// A source is one parsed Go file.
type source struct {
	name  string // path from the root of the repository
	test  bool
	tool  bool // outside every build: //go:build ignore
	file  *ast.File
	paths []string // what it imports
}

// read parses every Go file of the module, by the folder it lies in.
func read(t *testing.T, fset *token.FileSet) map[string][]source {
	t.Helper()
	packages := map[string][]source{}
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if e.IsDir() {
			if base := path.Base(rel); rel != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") ||
				base == "testdata" || base == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(rel) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		// A package such as blobtest is a suite that tests of others call.
		isTest := strings.HasSuffix(rel, "_test.go") || strings.HasSuffix(path.Dir(rel), "test")
		s := source{name: rel, test: isTest, tool: isGenerator(file), file: file}
		for _, spec := range file.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			s.paths = append(s.paths, p)
		}
		packages[path.Dir(rel)] = append(packages[path.Dir(rel)], s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

func isGenerator(f *ast.File) bool {
	for _, group := range f.Comments {
		if group.Pos() > f.Package {
			break
		}
		for _, c := range group.List {
			if c.Text == "//go:build ignore" {
				return true
			}
		}
	}
	return false
}

// inModule returns the folder of an import path of this module.
func inModule(importPath string) (string, bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

func TestHouseHasNoStairsUp(t *testing.T) {
	above := map[string]half{}
	for _, line := range house {
		for p := range strings.FieldsSeq(line.imports) {
			h, ok := above[p]
			switch {
			case !ok:
				t.Errorf("the line of %s names %s, which does not stand above it", line.pkg, p)
			case line.half == learning && h != learning && h != vocabulary:
				t.Errorf("%s belongs to learning and may not import %s, which belongs to %s", line.pkg, p, h)
			case line.half == rules && (h == memory || h == rim):
				t.Errorf("%s is a rule and may not import %s, which belongs to %s", line.pkg, p, h)
			case line.half == memory && (h == rules || h == learning):
				t.Errorf("%s is memory and may not import %s, which belongs to %s", line.pkg, p, h)
			}
		}
		above[line.pkg] = line.half
	}
}

func TestImports(t *testing.T) {
	may := map[string]string{}
	halves := map[string]half{}
	for _, line := range house {
		may[line.pkg], halves[line.pkg] = line.imports, line.half
	}
	for pkg, sources := range read(t, token.NewFileSet()) {
		if isTool(pkg, sources) {
			continue
		}
		allowed, known := may[home(pkg)]
		for _, s := range sources {
			if s.tool {
				continue
			}
			if !known && !s.test {
				t.Errorf("%s: package %s has no line in the import map; add one here and in ARCHITECTURE.md", s.name, pkg)
				known = true // say it once
			}
			for _, p := range s.paths {
				switch dir, own := inModule(p); {
				case own && home(dir) == home(pkg), own && slices.Contains(strings.Fields(allowed), dir):
				case own && s.test:
					// Tests may look sideways (a sample table, a conformance suite), never upwards.
					if halves[home(pkg)] == learning && halves[dir] != learning && halves[dir] != vocabulary {
						t.Errorf("%s: imports %s; a test of the learning half may not import %s", s.name, dir, halves[dir])
					}
				case own:
					t.Errorf("%s: imports %s; %s may import only: %s", s.name, dir, pkg, allowed)
				case isStandard(p):
					reason, bad := banned[p]
					if bad && !s.test && !slices.Contains(strings.Fields(permitted[p]), home(pkg)) {
						t.Errorf("%s: imports %s: %s", s.name, p, reason)
					}
				case slices.ContainsFunc(testOnly, func(m string) bool { return p == m || strings.HasPrefix(p, m+"/") }):
					if !s.test {
						t.Errorf("%s: imports %s, which is for tests", s.name, p)
					}
				default:
					if !slices.ContainsFunc(slices.Collect(maps.Keys(outside)), func(m string) bool {
						return (p == m || strings.HasPrefix(p, m+"/")) &&
							(s.test || slices.Contains(strings.Fields(outside[m]), home(pkg)))
					}) {
						t.Errorf("%s: imports %s; a module from outside has one home (see the list outside, docs/dependencies.md)", s.name, p)
					}
				}
			}
		}
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	for pkg, sources := range read(t, token.NewFileSet()) {
		comments := 0
		code := false
		for _, s := range sources {
			if s.tool {
				continue
			}
			name := s.file.Name.Name
			if strings.HasSuffix(s.name, "_test.go") && pkg != "internal/arch" {
				continue
			}
			code = true
			if emptyWords.MatchString(strings.TrimSuffix(name, "_test")) || emptyWords.MatchString(path.Base(pkg)) {
				t.Errorf("%s: package %s: the name says nothing of what it knows (docs/glossary.md)", s.name, name)
			}
			if s.file.Doc == nil {
				continue
			}
			comments++
			first, _, _ := strings.Cut(s.file.Doc.Text(), "\n")
			want := "Package " + name + " "
			if name == "main" {
				want = "Command "
			}
			if !strings.HasPrefix(first, want) {
				t.Errorf("%s: the package comment begins %q, want %q", s.name, first, want+"…")
			}
		}
		if code && comments != 1 {
			t.Errorf("package %s has %d package comments, want 1 (in one file, before the package clause)", pkg, comments)
		}
	}
}

// noStandard lets go/types resolve names without reading other packages: what
// an imported name means does not matter here, only that it is imported.
type noStandard struct{}

func (noStandard) Import(p string) (*types.Package, error) {
	pkg := types.NewPackage(p, path.Base(p))
	pkg.MarkComplete()
	return pkg, nil
}

// Same bits on every CPU, and nothing that changes behind the caller's back.
func TestCodeRules(t *testing.T) {
	fset := token.NewFileSet()
	halves := map[string]half{}
	for _, line := range house {
		halves[line.pkg] = line.half
	}
	for pkg, sources := range read(t, fset) {
		if isTool(pkg, sources) {
			continue
		}
		var files []*ast.File
		for _, s := range sources {
			if !s.test && !s.tool {
				files = append(files, s.file)
			}
		}
		info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
		// Errors are expected: every use of an imported name is one, and files
		// for other platforms declare the same names again.
		conf := types.Config{Importer: noStandard{}, Error: func(error) {}}
		tpkg, _ := conf.Check(pkg, fset, files, info)

		where := func(n ast.Node) string {
			p := fset.Position(n.Pos())
			rel, err := filepath.Rel(root, p.Filename)
			if err != nil {
				rel = p.Filename
			}
			return filepath.ToSlash(rel) + ":" + strconv.Itoa(p.Line)
		}
		// global returns the package-level variable that an assignable
		// expression (x, x[i], x.f, *x) writes to or through.
		global := func(e ast.Expr) string {
			for {
				switch x := e.(type) {
				case *ast.Ident:
					if v, ok := info.Uses[x].(*types.Var); ok && v.Parent() == tpkg.Scope() {
						return x.Name
					}
					return ""
				case *ast.IndexExpr:
					e = x.X
				case *ast.SelectorExpr:
					e = x.X
				case *ast.StarExpr:
					e = x.X
				case *ast.ParenExpr:
					e = x.X
				default:
					return ""
				}
			}
		}
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					if n.Recv == nil && n.Name.Name == "init" {
						t.Errorf("%s: func init: cmd/solera wires by hand; initialise where it is used", where(n))
					}
				case *ast.AssignStmt:
					for _, lhs := range n.Lhs {
						if name := global(lhs); name != "" && n.Tok != token.DEFINE {
							t.Errorf("%s: assigns to %s, a variable of the package; state belongs to a value", where(n), name)
						}
					}
				case *ast.IncDecStmt:
					if name := global(n.X); name != "" {
						t.Errorf("%s: changes %s, a variable of the package; state belongs to a value", where(n), name)
					}
				case *ast.SelectorExpr:
					x, ok := n.X.(*ast.Ident)
					if !ok || halves[home(pkg)] != learning {
						return true
					}
					if p, ok := info.Uses[x].(*types.PkgName); ok && p.Imported().Path() == "math" && inexact.MatchString(n.Sel.Name) {
						t.Errorf("%s: math.%s differs between CPUs in its last bit; use package numeric", where(n), n.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

// The map names only what exists, so that it stays the drawing of the house.
func TestHouseIsBuilt(t *testing.T) {
	for _, line := range house {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(line.pkg))); err != nil {
			t.Errorf("the import map has a line for %s, which is not there", line.pkg)
		}
	}
}

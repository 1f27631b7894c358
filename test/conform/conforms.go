package conform

import (
	"context"
	"embed"
	"slices"
	"strings"
	"testing"
)

//go:embed testdata/*.txt
var files embed.FS

// modelSeeds is with how many seeds a model plays each case: what takes a moment takes another one each time.
const modelSeeds = 25

// Check plays each case of a file of testdata with the model, with every seed, and with the real part, and compares what they show. A
// suite whose real part cannot be reached from here is called from that part's own tests.
func Check(t *testing.T, file string, model func(t *testing.T, seed uint64) Driver, real func(t *testing.T) Driver) {
	t.Helper()
	text, err := files.ReadFile("testdata/" + file + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	all, err := Parse(string(text))
	if err != nil || len(all) == 0 {
		t.Fatalf("%s: %d cases: %v", file, len(all), err)
	}
	for _, c := range all {
		t.Run(strings.ReplaceAll(c.Name, " ", "-"), func(t *testing.T) {
			var modelled []string
			for seed := range uint64(modelSeeds) {
				seen, err := Play(t.Context(), c, model(t, seed))
				if err != nil {
					t.Fatalf("the model, seed %d: %v", seed, err)
				}
				modelled = seen
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			seen, err := Play(ctx, c, real(t))
			if err != nil {
				t.Fatalf("the real part: %v", err)
			}
			if !slices.Equal(modelled, seen) {
				t.Fatalf("the model shows\n%s\nthe real part shows\n%s", strings.Join(modelled, "\n"), strings.Join(seen, "\n"))
			}
		})
	}
}

package render

import (
	"slices"
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"status", "switchover", "site switchover", "PrimaryStuck", "PrimaryCorrupt", "ReplicaCorrupt", "PrimaryCrashed",
		"PrimaryUnreachable", "day-one"}
	for _, c := range []struct {
		typed string
		want  []string
	}{
		{"statsu", []string{"status"}},
		{"STATUSS", []string{"status"}},
		{"primarystuk", []string{"PrimaryStuck"}},
		{"stuk", []string{"PrimaryStuck"}},
		{"corrupt", []string{"PrimaryCorrupt", "ReplicaCorrupt"}},
		{"swithover", []string{"switchover", "site switchover"}},
		{"primary", []string{"PrimaryStuck", "PrimaryCorrupt", "PrimaryCrashed", "PrimaryUnreachable"}},
		{"dayone", []string{"day-one"}},
		{"nonsense", nil},
		{"", nil},
	} {
		if got := Nearest(c.typed, names); !slices.Equal(got, c.want) {
			t.Errorf("Nearest(%q) = %q, want %q", c.typed, got, c.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for text, want := range map[string]string{"": "", "one two three": "one two|three", "averylongword x": "averylongword|x",
		"one two 34": "one two|34", "a b c d e": "a b c d|e"} {
		if got := strings.Join(wrap(text, 7), "|"); got != want {
			t.Errorf("wrap(%q) = %q, want %q", text, got, want)
		}
	}
}

package health

import (
	"errors"
	"strings"
	"testing"
)

func TestBrief(t *testing.T) {
	if got := Brief(errors.New("first\nsecond")); got != "first" {
		t.Error(got)
	}
	if got := Brief(errors.New(strings.Repeat("ä", maxText))); len(got) > maxText || strings.Contains(got, "�") {
		t.Error(got)
	}
}

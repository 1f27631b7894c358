package arch

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestGlossary: the guide and the package documentation of controller/platform explain the same words with the same text.
func TestGlossary(t *testing.T) {
	guide, err := os.ReadFile("../../deploy/guide/glossary.md")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../controller/platform/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	plain := func(text string) string {
		return strings.Join(strings.Fields(strings.NewReplacer("//", " ", "`", "", "*", "").Replace(text)), " ")
	}
	_, glossary, found := strings.Cut(plain(string(doc)), "# Glossary")
	rows := regexp.MustCompile(`(?m)^\| (.+?) \| (.+) \|$`).FindAllStringSubmatch(string(guide), -1)
	if !found || len(rows) < 10 {
		t.Fatalf("a glossary is missing: %d words in the guide, found in the documentation %v", len(rows), found)
	}
	for _, row := range rows[1:] { // the first is the head
		if entry := "- " + plain(row[1]) + ": " + plain(row[2]); !strings.Contains(glossary, entry) {
			t.Errorf("controller/platform/doc.go does not have the guide's %q", entry)
		}
	}
	if words := strings.Count(glossary, " - "); words != len(rows)-1 {
		t.Errorf("controller/platform/doc.go explains %d words, the guide %d", words, len(rows)-1)
	}
}

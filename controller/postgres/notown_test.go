package postgres

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestUnreadFilesAreNamed: of a host's own files, a new copy gets those that could be read. It is said which ones it lacks, until the user
// has changed them, has put back what was there, or has removed the record.
func TestUnreadFilesAreNamed(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, _ := newStandby(t, ca, "feed-e2", a)
	ctx := testContext(t)
	conf, hba, key := filepath.Join(b.Data, "postgresql.conf"), filepath.Join(b.Data, "pg_hba.conf"), filepath.Join(b.Data, "own.key")
	mine := content(t, conf) + "work_mem = '7MB'\n"
	give := func(path, text string) { t.Helper(); check(t, b.Owner.writeFile(path, []byte(text), 0o600)) }
	lacks := func(want ...string) {
		t.Helper()
		var got []string
		if r := must(b.ReplacedFiles()); r != nil {
			got = r.Names
		}
		if !slices.Equal(got, want) {
			t.Errorf("it lacks %q, want %q", got, want)
		}
	}
	give(conf, mine)
	give(hba, content(t, hba)+"# mine\n")
	give(key, "mine")
	kill(t, b)
	its, small := content(t, hba), content(t, key)
	for _, path := range []string{hba, key} { // larger than what is read
		check(t, os.Truncate(path, maxText+1))
	}
	lacks()
	aside, err := b.SetAside(ctx, "old")
	check(t, err)
	lacks() // there is no copy yet
	check(t, b.Clone(ctx, a.source(), "", nil, nil))
	if content(t, conf) != mine || exists(key) || content(t, hba) != content(t, filepath.Join(a.Data, "pg_hba.conf")) {
		t.Fatal("the copy has not the file that could be read, or others")
	}
	lacks("own.key", "pg_hba.conf")
	r := must(b.ReplacedFiles())
	for _, word := range []string{"own.key, pg_hba.conf could not be read", "larger than", aside, "remove " + b.notOwnFile()} {
		if !strings.Contains(r.String(), word) {
			t.Errorf("no %q in %q", word, r)
		}
	}

	// Another copy keeps the primary's file as if it were this host's: it still is the primary's.
	_, err = b.SetAside(ctx, "again")
	check(t, err)
	check(t, b.Clone(ctx, a.source(), "", nil, nil))
	lacks("own.key", "pg_hba.conf")

	give(key, small)
	lacks("pg_hba.conf")
	check(t, os.WriteFile(filepath.Join(aside, "pg_hba.conf"), []byte(content(t, hba)), 0o600)) // it is readable, and was the same
	lacks()
	if exists(b.notOwnFile()) {
		t.Error("the record stays")
	}

	check(t, b.writeNotOwn(notOwn{Why: "x", Aside: aside, Files: map[string]string{"pg_ident.conf": b.Owner.fingerprint(
		filepath.Join(b.Data, "pg_ident.conf"))}}))
	check(t, os.Remove(filepath.Join(aside, "pg_ident.conf")))
	lacks("pg_ident.conf")
	check(t, os.Remove(b.notOwnFile()))
	lacks()
	give(hba, its)

	give(b.notOwnFile(), "{")
	if _, err := b.ReplacedFiles(); err == nil || !strings.Contains(err.Error(), "is damaged and was removed") {
		t.Errorf("a damaged record: %v", err)
	}
	lacks()
}

// TestNothingReadOfOwnFiles: where not even their names are known, all that the copy has of the user's is the primary's.
func TestNothingReadOfOwnFiles(t *testing.T) {
	i, _ := bare(t)
	check(t, i.noteUnkept(i.Data+".old", os.ErrPermission))
	for name, text := range map[string]string{"PG_VERSION": "15\n", "postgresql.conf": "its", "pg_hba.conf": "its", "base/x.conf": ""} {
		put(t, filepath.Join(i.Data, name), text)
	}
	check(t, i.noteCopied(i.Data, []ownFile{{name: "pg_hba.conf"}}))
	if r := must(i.ReplacedFiles()); r == nil || !slices.Equal(r.Names, []string{"postgresql.conf"}) || r.Why != os.ErrPermission.Error() {
		t.Errorf("%+v", r)
	}
}

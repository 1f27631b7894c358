package render

import (
	"testing"
	"time"

	"mainstay/controller/wire"
	"mainstay/health"
)

// scannedMember is a member with a complete scan.
func scannedMember(edit func(*wire.MemberStatus)) wire.MemberStatus {
	m := wire.MemberStatus{Name: "feed-e1", Age: 400 * time.Millisecond, Seen: &health.Member{Scan: &health.Scan{Complete: true,
		AgeMS: 3600_000, Checksums: true, Blocks: 1000, Verified: 990, Unverified: 12}}}
	edit(&m)
	return m
}

var verdictCases = []struct {
	name string
	edit func(*wire.MemberStatus)
	want Verdict
}{
	{"a scan without findings", func(*wire.MemberStatus) {}, NotFound},
	{"no checksums", func(m *wire.MemberStatus) { m.Seen.Scan.Checksums, m.Seen.Scan.Verified = false, 0 }, NoSums},
	{"not settled", func(m *wire.MemberStatus) { m.Seen.Scan.Unsettled = 2 }, Suspect},
	{"just found", func(m *wire.MemberStatus) { m.Seen.Damage = health.Scanned + "base/5/7 block 1 (checksum)" }, Reported},
	{"excluded, and found", func(m *wire.MemberStatus) {
		m.Seen.Damage = health.Scanned + "base/5/7 block 1 (checksum), base/5/7 block 2 (checksum)"
		m.Excluded = health.Scanned + "base/5/7 block 1 (checksum)"
	}, Damaged},
	{"excluded, and read", func(m *wire.MemberStatus) {
		m.Seen.Damage, m.Excluded = health.Scanned+"base/5/7 block 1 (checksum)", health.ReadPages+"1 in database feed, the last at noon"
	}, Damaged},
	{"excluded, and silent", func(m *wire.MemberStatus) { m.Excluded, m.Seen = "bad pages", nil }, Damaged},
	{"set aside", func(m *wire.MemberStatus) { m.Seen.Damage, m.Cleared = "bad pages", "bad pages" }, SetAside},
	{"new evidence", func(m *wire.MemberStatus) { m.Seen.Damage, m.Cleared = "more bad pages", "bad pages" }, Reported},
	{"set aside, and mended", func(m *wire.MemberStatus) { m.Cleared = "bad pages" }, NotFound},
	{"the first scan", func(m *wire.MemberStatus) { m.Seen.Scan = &health.Scan{Running: true, Percent: 40} }, Never},
	{"the first scan, interrupted", func(m *wire.MemberStatus) { m.Seen.Scan = &health.Scan{Percent: 40} }, Never},
	{"a second scan", func(m *wire.MemberStatus) { m.Seen.Scan.Running = true }, NotFound},
	{"an agent that does not say when the first scan is due", func(m *wire.MemberStatus) { m.Seen.Scan = nil }, Never},
	{"before the first scan", func(m *wire.MemberStatus) { m.Seen.Scan = &health.Scan{NextMS: 540_000} }, Never},
	{"the first scan waits", func(m *wire.MemberStatus) { m.Seen.Scan = &health.Scan{NextMS: 1} }, Never},
	{"no scans", func(m *wire.MemberStatus) { m.Seen.Scan = &health.Scan{Off: true} }, Never},
	{"a complete one, and the next", func(m *wire.MemberStatus) { m.Seen.Scan.NextMS = 82_800_000 }, NotFound},
	{"the log says so", func(m *wire.MemberStatus) {
		m.Seen.Log = &health.ServerLog{Form: "csvlog", Signs: []health.LogSign{
			{Kind: health.SignOfInternal, Count: 7, Text: "ERROR: cache lookup failed for type 9 (XX000)", LastMS: 3_600_000},
			{Kind: health.SignOfDamage, Count: 1, Text: "ERROR: could not open file \"base/5/7\": No such file or directory (58P01)"}}}
	}, Logged},
	{"a file is missing", func(m *wire.MemberStatus) {
		m.Seen.ShortFiles = []string{"base/5/16384 of public.t in database feed is not there"}
	}, Logged},
	{"the log cannot be read", func(m *wire.MemberStatus) {
		m.Seen.Log = &health.ServerLog{Unread: "PostgreSQL writes its log to no file, but to pipe:[7]"}
	}, NotFound},
	{"never heard", func(m *wire.MemberStatus) { m.Seen = nil }, Unheard},
}

// TestVerdicts: what is not known to be damaged is called what was looked at, and no more.
func TestVerdicts(t *testing.T) {
	for _, c := range verdictCases {
		if got := IntegrityOf("feed", scannedMember(c.edit)); got.Verdict != c.want {
			t.Errorf("%s: %s, want %s", c.name, got.Verdict, c.want)
		}
	}
}

func verdicts() (all []Integrity) {
	for _, c := range verdictCases {
		all = append(all, IntegrityOf("feed", scannedMember(c.edit)))
	}
	return all
}

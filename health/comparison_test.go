package health

import "testing"

func TestAgainst(t *testing.T) {
	lost := DifferentBlock{Path: "base/5/16384", Block: 1, Kind: "lost write", Suspects: []string{"m2"}, Named: true, Settled: true}
	change := func(f func(*DifferentBlock)) []DifferentBlock {
		d := lost
		f(&d)
		return []DifferentBlock{d}
	}
	for _, c := range []struct {
		name   string
		damage []DifferentBlock
		change func(*Comparison)
		want   string
	}{
		{"a lost write", []DifferentBlock{lost}, nil, Compared + "base/5/16384 block 1 (lost write)"},
		{"not settled", change(func(d *DifferentBlock) { d.Settled = false }), nil, ""},
		{"one of two", change(func(d *DifferentBlock) { d.Named = false }), nil, ""},
		{"another member", change(func(d *DifferentBlock) { d.Suspects = []string{"m3"} }), nil, ""},
		{"a vote alone", change(func(d *DifferentBlock) { d.Kind = "content" }), nil, ""},
		{"other data", []DifferentBlock{lost}, func(c *Comparison) { c.Incarnations["m2"] = "m2_9" }, ""},
		{"it runs yet", []DifferentBlock{lost}, func(c *Comparison) { c.Running = true }, ""},
		{"two pages", append(change(func(d *DifferentBlock) { d.Block, d.Kind = 7, "broken page" }), lost), nil,
			Compared + "base/5/16384 block 7 (broken page), base/5/16384 block 1 (lost write)"},
	} {
		all := &Comparison{Incarnations: map[string]string{"m1": "m1_1", "m2": "m2_2", "m3": "m3_3"}, Damage: c.damage}
		if c.change != nil {
			c.change(all)
		}
		if got := all.Against("m2", "m2_2"); got != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
	if got := (*Comparison)(nil).Against("m2", "m2_2"); got != "" {
		t.Errorf("no comparison: %q", got)
	}
	a, b := Compared+"base/5/16384 block 1 (lost write)", Compared+"base/5/16384 block 7 (broken page), base/5/16384 block 1 (lost write)"
	if !KnownDamage(a, b) || KnownDamage(b, a) {
		t.Error("a page that is known is taken for news, or one that is not for known")
	}
}

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
		{"it runs yet", []DifferentBlock{lost}, func(c *Comparison) { c.Running = true }, Compared + "base/5/16384 block 1 (lost write)"},
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

// TestMended: a page that was mended is no evidence any more, where it is named on that member alone and nothing runs.
func TestMended(t *testing.T) {
	at := func(block uint32, named bool, suspects ...string) DifferentBlock {
		return DifferentBlock{Path: "base/5/7", Block: block, Kind: "content", Suspects: suspects, Named: named, Settled: true}
	}
	c := &Comparison{Complete: true, Blocks: 10, Equal: 6, Differ: 4, Wrong: map[string]int64{"m2": 2, "m3": 1},
		Suspect: map[string]int64{"m1": 1, "m2": 1},
		Damage:  []DifferentBlock{at(1, true, "m2"), at(2, true, "m2"), at(3, true, "m3"), at(4, false, "m1", "m2")}}
	for _, no := range [][2]string{{"m1", "base/5/7 block 1"}, {"m2", "base/5/7 block 3"}, {"m2", "base/5/7 block 4"},
		{"m2", "base/5/8 block 1"}} {
		if _, ok := c.Mended(no[0], no[1]); ok {
			t.Errorf("%v is no finding about that member alone", no)
		}
	}
	one, ok := c.Mended("m2", "base/5/7 block 1")
	if !ok || one.Differ != 3 || one.Equal != 7 || one.Wrong["m2"] != 1 || len(one.Damage) != 3 || one.Damage[0].Block != 2 {
		t.Errorf("%+v", one)
	}
	two, ok := one.Mended("m2", "base/5/7 block 2")
	if _, left := two.Wrong["m2"]; !ok || left || two.Wrong["m3"] != 1 {
		t.Errorf("%+v", two)
	}
	if c.Differ != 4 || c.Wrong["m2"] != 2 || len(c.Damage) != 4 || c.Damage[0].Block != 1 {
		t.Errorf("it was changed itself: %+v", c)
	}
	if none, ok := (*Comparison)(nil).Mended("m2", "base/5/7 block 1"); ok || none != nil {
		t.Error("there is none")
	}
}

// TestWith: a comparison that has not reached its end hides nothing that an earlier one has found, unless that data is gone.
func TestWith(t *testing.T) {
	at := func(block uint32, named bool, suspects ...string) DifferentBlock {
		return DifferentBlock{Path: "base/5/7", Block: block, Kind: "content", Suspects: suspects, Named: named, Settled: true}
	}
	data := map[string]string{"m1": "m1_1", "m2": "m2_2", "m3": "m3_3"}
	now := &Comparison{Running: true, Incarnations: data, Differ: 1, Wrong: map[string]int64{"m1": 1},
		Damage: []DifferentBlock{at(1, true, "m1")}}
	earlier := &Comparison{Complete: true, Incarnations: map[string]string{"m1": "m1_1", "m2": "m2_2", "m3": "m3_1"}, Differ: 4,
		Damage: []DifferentBlock{at(1, false, "m1", "m2"), at(2, true, "m2"), at(3, false, "m1", "m2"), at(4, true, "m3")}}
	both := now.With(earlier)
	if both.Differ != 3 || len(both.Damage) != 3 || both.Damage[0].Block != 1 || both.Damage[1].Block != 2 || both.Damage[2].Block != 3 ||
		both.Wrong["m1"] != 1 || both.Wrong["m2"] != 1 || both.Wrong["m3"] != 0 || both.Suspect["m1"] != 1 || both.Suspect["m2"] != 1 {
		t.Errorf("%+v", both)
	}
	if now.Differ != 1 || len(now.Damage) != 1 || len(now.Wrong) != 1 || now.Suspect != nil {
		t.Errorf("it was changed itself: %+v", now)
	}
	whole := &Comparison{Complete: true, Incarnations: data}
	if whole.With(earlier) != whole || now.With(nil) != now {
		t.Error("one at its end needs no other")
	}
}

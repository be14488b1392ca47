package workbook

import "testing"

// TestEscapesOfCharacters: four digits between _x and _ are a character, but for halves of one; everything else is text.
func TestEscapesOfCharacters(t *testing.T) {
	for text, want := range map[string]string{
		"_x0041_": "A", "a_x0042_c": "aBc", "_x0041": "_x0041", "_x004_": "_x004_", "_x00412": "_x00412", "_X0041_ _x": "_X0041_ _x", "0x0041__x": "0x0041__x",
		"_xZZZZ_": "_xZZZZ_", "_x-041_": "_x-041_", "_xd7ff_": "\ud7ff", "_xd800_": "_xd800_", "_xd9ab_": "_xd9ab_", "_xdfff_": "_xdfff_", "_xe000_": "\ue000",
		"_x005F_x0041_": "_x0041_", "_y0041__x": "_y0041__x", "_x0041x_x": "_x0041x_x", "no escape": "no escape",
	} {
		if got := unescaped(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// TestPlacesOfColumns counts letters from 0; 2^20 columns are the last, and what has no letters has no column.
func TestPlacesOfColumns(t *testing.T) {
	for place, want := range map[string]int{"A1": 0, "Z9": 25, "AA1": 26, "AB12": 27, "XFD1": 16383, "BGQCV1": 1<<20 - 1} {
		if got, ok := columnOf(place); !ok || got != want {
			t.Errorf("%s is column %d %v, want %d", place, got, ok, want)
		}
	}
	for _, place := range []string{"", "1", "a1", "BGQCW1", "ZZZZZZZZZZZZZZZ1", "[1", "@1"} {
		if got, ok := columnOf(place); ok {
			t.Errorf("%q is column %d", place, got)
		}
	}
}

// TestCellsByTheirType: texts by their number, which must be there, and both ways to write a truth.
func TestCellsByTheirType(t *testing.T) {
	b := Book{texts: []string{"first", "last"}}
	for _, c := range []struct {
		kind, value string
		want        Cell
	}{
		{"s", "0", Cell{Text: "first"}}, {"s", " 1 ", Cell{Text: "last"}},
		{"b", "1", Cell{Text: "true", Kind: Bool}}, {"b", "true", Cell{Text: "true", Kind: Bool}},
		{"b", "0", Cell{Text: "false", Kind: Bool}}, {"b", "false", Cell{Text: "false", Kind: Bool}},
	} {
		if got, err := b.cell(c.kind, c.value, 0, nil); err != nil || got != c.want {
			t.Errorf("%s %q: %+v, %v", c.kind, c.value, got, err)
		}
	}
	for _, value := range []string{"-1", "2", "3", "", "x", "1.0", "99999999999999999999"} {
		if got, err := b.cell("s", value, 0, nil); err == nil {
			t.Errorf("text %q is %+v", value, got)
		}
	}
}

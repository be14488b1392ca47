package workbook

import "testing"

func TestWhatShowsADate(t *testing.T) {
	for code, want := range map[string]bool{
		"General": false, "0.00": false, "#,##0.00 [$€-407]": false, "yyyy-mm-dd": true, "[h]:mm": true, "[Red]0": false, `"day" 0`: false, `0 "d"`: false, `\d0`: false, "0.00E+00": false, "mm:ss.0": true,
		`0"`: false, "d. mmmm": true, "[ss]": true, `_-* #,##0`: false, "@": false, "": false,
	} {
		if got := showsDate(code); got != want {
			t.Errorf("%q: %v", code, got)
		}
	}
}

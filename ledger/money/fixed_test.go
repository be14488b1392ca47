package money

import (
	"encoding/json"
	"testing"
)

func TestFixedWritesAllDecimals(t *testing.T) {
	for in, want := range map[string]string{
		"12.5": `"12.500000000000"`, "0": `"0.000000000000"`, "-0.000000000001": `"-0.000000000001"`, "1000": `"1000.000000000000"`,
	} {
		f := Fixed{MustParse(in)}
		got, err := json.Marshal(map[string]any{"a": f})
		if err != nil || string(got) != `{"a":`+want+`}` {
			t.Errorf("%s: %s, %v", in, got, err)
		}
		if `"`+f.String()+`"` != want {
			t.Errorf("%s: String %s", in, f)
		}
		var back Fixed
		if err := json.Unmarshal([]byte(want), &back); err != nil || back != f {
			t.Errorf("%s: read back %v, %v", in, back, err)
		}
	}
}

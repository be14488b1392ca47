package activity

import (
	"encoding/hex"
	"fmt"
)

// ParseID reads what String writes: 32 hexadecimal digits.
func ParseID(text string) (ID, error) {
	var id ID
	if len(text) != 2*len(id) {
		return ID{}, fmt.Errorf("id %q: want %d hexadecimal digits", text, 2*len(id))
	}
	if _, err := hex.Decode(id[:], []byte(text)); err != nil {
		return ID{}, fmt.Errorf("id %q: %w", text, err)
	}
	return id, nil
}

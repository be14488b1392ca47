package catalog

// The words of a document that have a meaning of their own.
const (
	settingsID       = "main" // there is one seller so far
	defaultSeller    = "main"
	productKindUsage = "usage"
	boundsInclusive  = "inclusive"
	boundsHalfOpen   = "half_open"
	zeroFlatCharge   = "charge"
	zeroFlatSkip     = "skip"
	prorateNot       = "none"
	prorateByDay     = "day"
	levelChange      = "change"
	levelAbsolute    = "absolute"
	roundingOnEvent  = "event"
	roundingOnTotal  = "total"
	billToParent     = "parent"
	billToSelf       = "self"
	lateReject       = "reject"
	lateCarry        = "carry"
)

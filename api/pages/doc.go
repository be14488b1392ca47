// Package pages renders the pages that people look at: a customer's invoice as it moves, and the
// operator's view of the path that usage takes.
//
// It may import the domain packages (invoicer, ledger/money, rater/catalog, rater/price) for their
// types and the standard library; no driver, no other package of api. Data comes through the small
// interfaces of this package. Templates, the stylesheet and the scripts are embedded: nothing is
// loaded from elsewhere.
//
// Invariants: a page shows everything without JavaScript, as of its loading; the Content-Security-Policy
// allows no inline script or style; an amount is rounded for display only, half away from zero, and its
// full 12 decimals are in the page; whatever a page lists is also there as JSON and CSV under the same URL
// (?format=json, ?format=csv). Who may see what is decided by the handler that mounts these pages, and by the
// sources, which answer [ErrForbidden].
package pages

package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Role is what a key may do.
type Role string

// The roles. A customer link acts as RoleCustomer.
const (
	RoleIngest   Role = "ingest"   // sends usage, nothing else
	RoleCustomer Role = "customer" // reads one account and those below it
	RoleSupport  Role = "support"  // reads customers' matters, retries rejected usage, makes customer links
	RoleFinance  Role = "finance"  // reads everything about money
	RoleAdmin    Role = "admin"    // everything
	RoleAuditor  Role = "auditor"  // reads everything, writes nothing
)

// Roles lists the roles that a key can have.
var Roles = []Role{RoleIngest, RoleCustomer, RoleSupport, RoleFinance, RoleAdmin, RoleAuditor}

// Permission is what a call needs.
type Permission string

// The permissions. Every route names exactly one.
const (
	SendUsage      Permission = "usage:send"
	ReadAccount    Permission = "account:read"  // one account's invoice, prices, activity; the account is checked as well
	ReadReports    Permission = "reports:read"  // usage and revenue; a customer's only with its own accounts
	ReadMoney      Permission = "money:read"    // reconciliation
	RunBacktests   Permission = "backtests:run" // stored usage under other prices, which changes nothing
	ReadCatalog    Permission = "catalog:read"  // everybody's definitions
	WriteCatalog   Permission = "catalog:write"
	ReadRejected   Permission = "rejected:read"
	RetryRejected  Permission = "rejected:retry"
	Rerate         Permission = "rerate"
	ReadRerating   Permission = "rerate:read"
	SkipEvents     Permission = "rejected:skip"
	ReadOperations Permission = "operations:read" // stages, collectors and their runs, an event's way
	RunCollectors  Permission = "collectors:run"
	WriteConfig    Permission = "config:write" // collectors
	MakeLinks      Permission = "links:make"
	ReadKeys       Permission = "keys:read"
	WriteKeys      Permission = "keys:write"
	SeePublic      Permission = "public" // no key needed
)

// allowed is the one table of who may do what. SeePublic is everybody's and not in it.
var allowed = map[Permission][]Role{
	SendUsage:      {RoleIngest, RoleAdmin},
	ReadAccount:    {RoleCustomer, RoleSupport, RoleFinance, RoleAdmin, RoleAuditor},
	ReadReports:    {RoleCustomer, RoleSupport, RoleFinance, RoleAdmin, RoleAuditor},
	ReadMoney:      {RoleFinance, RoleAdmin, RoleAuditor},
	RunBacktests:   {RoleFinance, RoleAdmin, RoleAuditor},
	ReadCatalog:    {RoleSupport, RoleFinance, RoleAdmin, RoleAuditor},
	WriteCatalog:   {RoleAdmin},
	ReadRejected:   {RoleSupport, RoleFinance, RoleAdmin, RoleAuditor},
	RetryRejected:  {RoleSupport, RoleAdmin},
	Rerate:         {RoleSupport, RoleAdmin},
	ReadRerating:   {RoleSupport, RoleFinance, RoleAdmin, RoleAuditor},
	SkipEvents:     {RoleAdmin},
	ReadOperations: {RoleSupport, RoleFinance, RoleAdmin, RoleAuditor},
	RunCollectors:  {RoleAdmin},
	WriteConfig:    {RoleAdmin},
	MakeLinks:      {RoleSupport, RoleAdmin},
	ReadKeys:       {RoleAdmin, RoleAuditor},
	WriteKeys:      {RoleAdmin},
}

// Principal is who makes a request: a key, or a session that a key or a customer link opened.
type Principal struct {
	KeyID   string // the key's public id; empty for a customer link
	Name    string // the key's name; for a link "customer link"
	Role    Role
	Account string // RoleCustomer: the account that it is limited to
	Session bool   // came by cookie: may read the API, and write only through pages that check a CSRF token
}

// Allows says whether the principal's role has the permission; nil is nobody.
func (p *Principal) Allows(need Permission) bool {
	if need == SeePublic {
		return true
	}
	return p != nil && slices.Contains(allowed[need], p.Role)
}

// What access is refused with.
var (
	ErrUnauthenticated = errors.New("a valid API key is needed")
	ErrForbidden       = errors.New("not allowed")
)

// Lineage answers whether an account stands under another one.
type Lineage interface {
	// Lineage returns the account and its parents up to the root; nothing when the account is unknown.
	Lineage(ctx context.Context, account string) ([]string, error)
}

// MayReadAccount says whether the principal may read the account's matters: a customer its own account and those
// below it, everybody else with ReadAccount all. Unknown accounts and others' are refused to a customer with the same words.
func (a *Access) MayReadAccount(ctx context.Context, p *Principal, account string) error {
	if !p.Allows(ReadAccount) {
		return refusal(p, ReadAccount)
	}
	if p.Role != RoleCustomer || p.Account == account {
		return nil
	}
	lineage, err := a.lineage.Lineage(ctx, account)
	if err != nil {
		return fmt.Errorf("read the parents of account %q: %w", account, err)
	}
	if !slices.Contains(lineage, p.Account) {
		return fmt.Errorf("%w: this key sees account %q and those below it only", ErrForbidden, p.Account)
	}
	return nil
}

func refusal(p *Principal, need Permission) error {
	if p == nil {
		return ErrUnauthenticated
	}
	return fmt.Errorf("%w: role %q lacks permission %q", ErrForbidden, p.Role, need)
}

type principalKey struct{}

// PrincipalOf returns who makes the request; nil: nobody that is known.
func PrincipalOf(ctx context.Context) *Principal {
	p, _ := ctx.Value(principalKey{}).(*Principal)
	return p
}

// WithPrincipal is a context in which PrincipalOf returns p.
func WithPrincipal(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

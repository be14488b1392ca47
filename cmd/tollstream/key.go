package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/cmd/tollstream/client"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "key", Short: "Create, revoke and list API keys",
		Example: "  tollstream key create --role ingest --name gateway-7\n  tollstream key list",
	})
	cmd.AddCommand(a.keyCreate(), a.keyRevoke(), a.keyList())
	return cmd
}

func (a *app) keyCreate() *cobra.Command {
	var r api.KeyRequest
	var role string
	cmd := &cobra.Command{
		Use: "create", Short: "Create an API key; it is shown this once",
		Long: "Create an API key. It is shown this once and kept nowhere. Roles: ingest (sends usage only), customer (reads one account\n" +
			"and those below it), support, finance, admin, auditor (reads everything, writes nothing).",
		Example: "  tollstream key create --role ingest --name gateway-7\n  tollstream key create --role customer --account acme --name portal",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.Role = api.Role(role)
			if !slices.Contains(api.Roles, r.Role) {
				return wrongUsage("--role must be one of %v, not %q", api.Roles, role)
			}
			if (r.Role == api.RoleCustomer) != (r.Account != "") {
				return wrongUsage("--account goes with --role customer, and only with it")
			}
			if r.Name == "" {
				r.Name = role + " key"
			}
			c, err := a.settings.client()
			if err != nil {
				return err
			}
			res, err := c.Send(cmd.Context(), http.MethodPost, "/v1/keys", nil, r)
			if err != nil {
				return err
			}
			key, err := client.Decode[api.NewKeyAnswer](res)
			if err != nil {
				return err
			}
			if a.output == outputJSON {
				return a.printJSON(key)
			}
			return a.print(fmt.Sprintf("key: %s\nid: %s (to revoke it)\n", key.Token, key.ID))
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "`ROLE`: ingest, customer, support, finance, admin or auditor")
	cmd.Flags().StringVar(&r.Account, "account", "", "`ACCOUNT` that a customer key sees")
	cmd.Flags().StringVar(&r.Name, "name", "", "whose key it is; the default source of usage that it sends")
	return cmd
}

func (a *app) keyRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Revoke an API key",
		Example: "  tollstream key revoke 1f0c9a2b77d40e15",
		Args:    arguments("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.settings.client()
			if err != nil {
				return err
			}
			res, err := c.Send(cmd.Context(), http.MethodDelete, "/v1/keys/"+url.PathEscape(args[0]), nil, nil)
			if err != nil {
				return err
			}
			key, err := client.Decode[api.Key](res)
			if err != nil {
				return err
			}
			if a.output == outputJSON {
				return a.printJSON(key)
			}
			return a.print(fmt.Sprintf("revoked %s (%s, %s)\n", key.ID, key.Name, key.Role))
		},
	}
}

func (a *app) keyList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List API keys, newest first, revoked ones too",
		Example: "  tollstream key list\n  tollstream key list --output json",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.settings.client()
			if err != nil {
				return err
			}
			all := api.List[api.Key]{Data: []api.Key{}}
			query := url.Values{"limit": {strconv.Itoa(maxPage)}}
			for {
				res, err := c.Send(cmd.Context(), http.MethodGet, "/v1/keys", query, nil)
				if err != nil {
					return err
				}
				page, err := client.Decode[api.List[api.Key]](res)
				if err != nil {
					return err
				}
				all.Data = append(all.Data, page.Data...)
				if page.Next == nil || len(page.Data) == 0 {
					break
				}
				query.Set("cursor", *page.Next)
			}
			if a.output == outputJSON {
				return a.printJSON(all)
			}
			rows := [][]string{{"ID", "ROLE", "ACCOUNT", "NAME", "CREATED", "LAST USED", "STATE"}}
			for i := range all.Data {
				k := &all.Data[i]
				state := "active"
				if k.RevokedAt != nil {
					state = "revoked " + k.RevokedAt.UTC().Format(time.DateOnly)
				}
				used := "never"
				if k.LastUsedAt != nil {
					used = k.LastUsedAt.UTC().Format(time.RFC3339)
				}
				rows = append(rows, []string{k.ID, string(k.Role), k.Account, k.Name, k.CreatedAt.UTC().Format(time.RFC3339), used, state})
			}
			return a.table(rows)
		},
	}
}

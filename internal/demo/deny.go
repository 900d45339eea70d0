package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

func (d *demo) otherContent(ctx context.Context) error {
	d.title("같은 번호에 다른 내용은 거절, 같은 내용은 첫 영수증", "other content under the same number is refused; the same content gets the first receipt")
	b := d.stored[0]
	other, err := d.file("other.xml", append([]byte("<!-- 고침 -->\n"), b.contents[0]...))
	if err != nil {
		return err
	}
	if err := d.refused(ctx, 3, "CONFLICT", "app", b.putArgs(b.retain, other)...); err != nil {
		return err
	}
	d.say("다른 내용: CONFLICT (exit 3)", "other content: CONFLICT (exit 3)")
	for _, retain := range []string{b.retain, "PT1S"} {
		r, err := answer[receipt](ctx, d, "app", b.putArgs(retain, b.files...)...)
		if err != nil {
			return err
		}
		if !r.AlreadyStored || r.Fingerprint != b.receipt.Fingerprint || r.HistorySequence != b.receipt.HistorySequence {
			return fmt.Errorf("with %s: %+v, the first receipt was %+v", retain, r, b.receipt)
		}
	}
	d.say("같은 내용: already_stored, 보존기간을 PT1S로 줄여 달라 해도 그대로", "same content: already_stored, and asking for PT1S instead changes no period")
	return d.sameDeadline(ctx)
}

// whoTries are the roles that try to delete: application, officer, administrator,
// and the access manager.
func whoTries() []string { return []string{"app", "officer", "admin", "manager"} }

// deleteByCommand tries everything that the command line might offer.
func (d *demo) deleteByCommand(ctx context.Context) error {
	d.title("명령으로 지우거나 줄이려 한다: 응용, 담당자, 관리자, 권한관리책임자", "deleting and shortening by command: application, officer, administrator, access manager")
	no := d.stored[0].transaction
	absent := 0
	for _, words := range [][]string{
		{"bundle", "delete"}, {"bundle", "remove"}, {"bundle", "update"}, {"bundle", "shorten"}, {"bundle", "expire"},
		{"history", "delete"}, {"history", "truncate"}, {"clock", "set"}, {"policy", "set"}, {"institution", "close"},
	} {
		for _, role := range whoTries() {
			if err := d.fails(ctx, 2, "USAGE", role, append(words, "--transaction", no)...); err != nil {
				return err
			}
			absent++
		}
	}
	d.say(fmt.Sprintf("그런 명령은 없다: %d번 시도, 모두 exit 2", absent), fmt.Sprintf("there are no such commands: %d tries, all exit 2", absent))
	for _, role := range []string{"officer", "admin", "manager", "auditor", "contractor"} {
		if err := d.refused(ctx, 4, "NOT_PERMITTED", role, d.stored[0].putArgs("PT1S", d.stored[0].files...)...); err != nil {
			return err
		}
	}
	d.say("응용이 아니면 쓰지도 못한다 (exit 4)", "who is not the application cannot even write (exit 4)")
	for _, role := range []string{"admin", "auditor", "contractor"} {
		if err := d.refused(ctx, 4, "NOT_PERMITTED", role, d.getArgs(no, "-")...); err != nil {
			return err
		}
	}
	d.say("관리자는 읽지 못한다 (exit 4)", "the administrator cannot read (exit 4)")
	if err := d.refusedInput(ctx, "2001-01-01"); err != nil {
		return err
	}
	d.proves("R23")
	return nil
}

// refusedInput has a new bundle refused whose period is none.
func (d *demo) refusedInput(ctx context.Context, retain string) error {
	b := bundle{transaction: "2026112100000098", subject: d.stored[0].subject}
	args := b.putArgs(retain, d.stored[0].files...)
	out, err := d.c.Sago(ctx, "app", args...)
	if err != nil {
		return err
	}
	if out.Exit != 2 && out.Exit != 3 {
		return d.wanted(out, nil, 3, "app", args)
	}
	d.denied++
	reason, _, _ := strings.Cut(strings.TrimPrefix(out.Stderr, "error: "), ":")
	d.say(fmt.Sprintf("이미 지난 기한으로 저장: %s (exit %d)", reason, out.Exit), fmt.Sprintf("storing with a deadline in the past: %s (exit %d)", reason, out.Exit))
	return nil
}

// deleteByCall looks for a call that takes away, and calls what the API does not
// have.
func (d *demo) deleteByCall(ctx context.Context) error {
	d.title("API로 지우려 한다", "deleting by the API")
	methods := 0
	for _, file := range []protoreflect.FileDescriptor{sagov1.File_sago_v1_bundle_proto, sagov1.File_sago_v1_usage_proto,
		sagov1.File_sago_v1_history_proto, sagov1.File_sago_v1_cluster_proto} {
		for i := range file.Services().Len() {
			all := file.Services().Get(i).Methods()
			for k := range all.Len() {
				if name := string(all.Get(k).Name()); takesAway(name) {
					return fmt.Errorf("the API has the call %s", all.Get(k).FullName())
				}
				methods++
			}
		}
	}
	calls := 0
	for _, role := range whoTries() {
		conn, err := d.dial(role, d.c.Address(0))
		if err != nil {
			return err
		}
		for _, service := range []string{"BundleService", "UsageService", "HistoryService", "ClockService", "ClusterService"} {
			for _, verb := range []string{"Delete", "Update", "Truncate", "Shorten", "Set", "Reset"} {
				err := conn.Invoke(ctx, "/sago.v1."+service+"/"+verb, &sagov1.ShowRequest{Transaction: d.stored[0].transaction, Part: 1}, &sagov1.ShowResponse{})
				if status.Code(err) != codes.Unimplemented {
					return errors.Join(fmt.Errorf("%s/%s as %s answered %v", service, verb, role, err), conn.Close())
				}
				calls++
			}
		}
		if err := conn.Close(); err != nil {
			return err
		}
	}
	d.say(fmt.Sprintf("묶음정보·이용·이력·클러스터의 %d개 호출 가운데 지우는 것은 없고, 지어낸 호출 %d번은 모두 Unimplemented", methods, calls),
		fmt.Sprintf("of the %d calls about bundles, use, history and cluster none deletes, and %d made-up calls are all Unimplemented", methods, calls))
	return d.knockAtNodePort(ctx)
}

func takesAway(method string) bool {
	for _, verb := range []string{"Delete", "Remove", "Erase", "Purge", "Truncate", "Update", "Set", "Shorten", "Overwrite", "Drop"} {
		if strings.HasPrefix(method, verb) {
			return true
		}
	}
	return false
}

// knockAtNodePort calls what nodes say to each other, with a person's certificate.
func (d *demo) knockAtNodePort(ctx context.Context) error {
	for _, role := range whoTries() {
		conn, err := d.dial(role, d.c.NodeAddress(0))
		if err != nil {
			return err
		}
		within, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err = nodev1.NewNodeServiceClient(conn).Status(within, &nodev1.StatusRequest{})
		cancel()
		if cerr := conn.Close(); err == nil || cerr != nil {
			return errors.Join(fmt.Errorf("the node port answered %s", role), cerr)
		}
	}
	d.say("노드 사이의 포트는 노드가 아닌 누구와도 말하지 않는다", "the port between nodes talks to nobody who is no node")
	return nil
}

// dial opens a bare connection with a role's certificate; who answers is not
// looked at.
func (d *demo) dial(role, address string) (*grpc.ClientConn, error) {
	known, err := client.LoadContext(d.c.Context(role))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, a := range known.Authorities {
		pool.AddCert(a)
	}
	return grpc.NewClient("passthrough:///"+address, grpc.WithNoProxy(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{known.Certificate}, InsecureSkipVerify: true, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13,
	})))
}

// deleteByTool tries the daemon's own commands on a running node.
func (d *demo) deleteByTool(ctx context.Context) error {
	d.title("운영 도구와 설정으로 지우려 한다", "deleting by the operator's tools and by configuration")
	for _, try := range []struct {
		ko, en string
		args   []string
	}{
		{"도는 노드의 색인을 버리기", "throwing a running node's index away", []string{"rebuild-index", "--config", d.c.Config(0)}},
		{"노드 키를 새로 만들기", "making the node's keys anew", []string{"init", "node", "--config", d.c.Config(0), "--number", "1"}},
		{"운영 디렉터리를 개발용이라며 지우기", "removing the directory as one of development", []string{"dev", "--remove", "--dir", d.c.NodeDir(0)}},
	} {
		out, err := d.c.Sagod(ctx, try.args...)
		if err != nil {
			return err
		}
		if out.Exit == 0 {
			return fmt.Errorf("`sagod %s` was not refused: %s", strings.Join(try.args, " "), out.Stdout)
		}
		d.say(fmt.Sprintf("%s: 거절 (exit %d)", try.ko, out.Exit), fmt.Sprintf("%s: refused (exit %d)", try.en, out.Exit))
	}
	return d.weakenByFile(ctx)
}

// weakenByFile writes safety settings into a node's configuration.
func (d *demo) weakenByFile(ctx context.Context) error {
	raw, err := os.ReadFile(d.c.Config(0))
	if err != nil {
		return err
	}
	for _, line := range []string{`retention = "PT1S"`, `max_years = 0`, `slack = "8760h"`, `allow_delete = true`} {
		path, err := d.file("weaker.toml", append([]byte(line+"\n"), raw...))
		if err != nil {
			return err
		}
		out, err := d.c.Sagod(ctx, "run", "--config", path)
		if err != nil {
			return err
		}
		key, _, _ := strings.Cut(line, " ")
		if out.Exit != 2 || !strings.Contains(out.Stderr, key+": unknown key") {
			return fmt.Errorf("sagod run with %q: exit %d: %s", line, out.Exit, out.Stderr)
		}
	}
	d.say("설정 파일에 보존기간 따위를 적으면 노드가 뜨지 않는다 (exit 2)", "a configuration that speaks of retention starts no node (exit 2)")
	return nil
}

// history is what `sago history list` answers.
type history struct {
	Records []struct {
		Sequence    uint64            `json:"sequence"`
		Action      string            `json:"action"`
		Transaction string            `json:"transaction"`
		Actor       string            `json:"actor"`
		Result      string            `json:"result"`
		Detail      map[string]string `json:"detail"`
	} `json:"records"`
}

func (d *demo) records(ctx context.Context, args ...string) (history, error) {
	return answer[history](ctx, d, "auditor", append([]string{"history", "list"}, args...)...)
}

// denials counts what the history says of all that was refused.
func (d *demo) denials(ctx context.Context) error {
	d.title("거절된 시도는 모두 이력에 있다", "every refusal is in the history")
	listed, err := d.records(ctx, "--action", "DENY")
	if err != nil {
		return err
	}
	count, seen := 0, ""
	for _, r := range listed.Records {
		seen += fmt.Sprintf("\n%d %s %s %s %v", r.Sequence, r.Actor, r.Transaction, r.Result, r.Detail)
		n, err := strconv.Atoi(r.Detail["count"])
		count += max(n, 1)
		if r.Detail["count"] != "" && err != nil {
			return fmt.Errorf("DENY record %d: %w", r.Sequence, err)
		}
	}
	if count != d.denied {
		return fmt.Errorf("%d DENY records count %d refusals, %d were made:%s", len(listed.Records), count, d.denied, seen)
	}
	d.figure("DENY %d = 거절 refusals %d", count, d.denied)
	actions, err := d.actions(ctx, d.stored[0].transaction)
	if err != nil {
		return err
	}
	d.figure("%s: %s", d.stored[0].transaction, strings.Join(actions, " "))
	d.proves("R1", "R2", "R9")
	return nil
}

// actions are those of one bundle, in order, each once in a row.
func (d *demo) actions(ctx context.Context, transaction string) (out []string, err error) {
	listed, err := d.records(ctx, "--transaction", transaction)
	for _, r := range listed.Records {
		if len(out) == 0 || out[len(out)-1] != r.Action {
			out = append(out, r.Action)
		}
	}
	if err == nil && (len(out) == 0 || out[0] != "STORE") {
		err = fmt.Errorf("the history of %s begins with %v", transaction, out)
	}
	return out, err
}

"""How a binding is restored, and held against the list until it stays.

One person takes: PUT auth; below 9.3 an empty patch, without which a live session or an unused
reset link could undo it; the end of MFA that was enrolled while converted; the end of logins by
password. After it has settled the list is read: who is undone is brought back again, a bounded
number of times, and who is there is verified.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from conversion.bulk import FINISHED, Came, Deed, Tally, carry_out, groups
from conversion.decision.account import SAML, Source
from conversion.decision.lifecycle import INTENTS, Event, RowState
from conversion.decision.people import People
from conversion.decision.settlement import settle
from conversion.errors import DuplicateBinding, MattermostError, Rejected
from conversion.ledger.base import ELSEWHERE, MOVED, REMARKS
from conversion.truth import change_each, look, settle_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from conversion.bulk import Bulk
    from conversion.decision.account import Account, Binding
    from conversion.ledger.base import Change, Row

_AT_ONCE: Final = 500
_NAMED: Final = 3
_FEW: Final = 50
_ELSEWHERE: Final = (
    "somebody else brought the account back, and this server does not show to which binding: "
    "prepare --sql or --export tells whether it is the one that is on record"
)
#: Rows that a return can begin from. `RETURNED` is a repair.
RETURNABLE: Final = (
    RowState.CONVERTED,
    RowState.CLAIMED,
    RowState.RETURNED,
    RowState.CONFLICT,
    RowState.FAILED,
)
_ENDS: Final = {
    Came.DONE: Event.RETURN_DONE,
    Came.DUPLICATE: Event.CONTRADICT,
    Came.REFUSED: Event.REJECTED,
    Came.PUT_BACK: Event.FOUND_CONVERTED,
}


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about one person that a human should know."""

    user_id: str
    says: str


def must_restore(bulk: Bulk) -> None:
    """Raise `Rejected` where this way to the server cannot restore a binding."""
    if not bulk.capabilities.restores:
        raise Rejected(
            f"local mode of Mattermost {bulk.capabilities.version} restores no binding, which it"
            " does from 11.0 on: set mattermost.url and mattermost.token; nobody was touched"
        )


class Restoring:
    """The way back for the people of one campaign, as one command goes it."""

    def __init__(self, bulk: Bulk, campaign: str, accounts: Mapping[str, Account]) -> None:
        """`accounts` is a fresh look; it is replaced by each later one."""
        self.remarks: list[Remark] = []
        self._said: dict[str, list[str]] = {}
        self.problems: list[tuple[str, str]] = []
        self.verified = 0
        self.repaired = 0
        self._bulk = bulk
        self._campaign = campaign
        self.accounts = accounts
        self._changed: dict[str, str] = {}
        self._better = _better_bindings(bulk, campaign)

    def bring_back(self, ids: People, marks: Mapping[str, str]) -> Tally:
        """Return these people, and hold them against the list until they stay."""
        must_restore(self._bulk)
        tally = self._carry_out(ids, marks)
        for _ in range(self._bulk.limits.attempts):
            if tally.stopped:
                return tally
            again = self.confirm(ids)
            if not again:
                return tally
            self.repaired += len(again)
            tally = self._carry_out(again, marks)
        if not tally.stopped:
            self._leave(self.confirm(ids))
        return tally

    def check(self) -> Tally | None:
        """Verify whoever stands at `returned`, left by an earlier command or by somebody else."""
        if next(self._rows(RowState.RETURNED), None) is None:
            return None
        undone = self.confirm(People())
        return self.bring_back(undone, {}) if undone else None

    def confirm(self, ids: People) -> People:
        """Let things settle, look, and verify whoever is back. Gives whom to bring back again:
        all that were undone, and those of `ids` whom the call never reached.
        """
        self._bulk.settle()
        self.accounts = {}
        self.accounts = look(self._bulk)
        settle_rows(self._bulk, self._campaign, self.accounts, *INTENTS)
        self._changed = self._changed_profiles()
        undone = [row.user_id for row in self._of(ids, RowState.CONVERTED)]
        for rows in groups(self._rows(RowState.RETURNED), _AT_ONCE):
            unfinished = self._finish(rows)
            changes = []
            for row in rows:
                change = self._judged(row, row.user_id in unfinished)
                if change is not None:
                    changes.append(change)
                elif row.user_id not in unfinished:
                    undone.append(row.user_id)
            self._commit(changes)
        return People(undone)

    def _carry_out(self, ids: People, marks: Mapping[str, str]) -> Tally:
        rows = self._of(ids, *RETURNABLE)
        deed = Deed(
            "return", Event.RETURN, self._restore, self._follow_up, _ENDS, marks, self._remarked
        )
        tally = carry_out(self._bulk, rows, deed, len(ids))
        self.problems += tally.problems
        return tally

    def _rows(self, *states: RowState) -> Iterator[Row]:
        return self._bulk.ledger.rows(self._campaign, *states)

    def _of(self, ids: People, *states: RowState) -> Iterator[Row]:
        """The rows of these people in these states; for a few, all the others are not read."""
        if len(ids) > _FEW:
            return (row for row in self._rows(*states) if row.user_id in ids)
        found = (self._bulk.ledger.row(self._campaign, user_id) for user_id in ids)
        return (row for row in found if row is not None and row.state in states)

    def _commit(self, changes: Sequence[Change]) -> None:
        lost = {row.user_id for row in self._bulk.ledger.commit(changes)} if changes else set()
        self.verified += sum(
            change.row.state is RowState.VERIFIED and change.row.user_id not in lost
            for change in changes
        )

    def _judged(self, row: Row, unfinished: bool) -> Change | None:
        """The change of a returned row; None where it must be brought back again or finished."""
        found = settle(row.state, row.binding, self.accounts.get(row.user_id))
        if found is None:
            return None if unfinished else self._verified(row)
        if found.event is Event.RETURN:
            return None
        self.problems.append((row.user_id, found.reason))
        return self._bulk.step(row, found.event, found.reason)

    def _verified(self, row: Row) -> Change:
        account = self.accounts[row.user_id]
        if row.mfa_active and not account.mfa_active:
            self._remark(row, "had MFA before, and has none now: ask them to enrol again")
        if not account.active:
            self._remark(row, "was deactivated meanwhile; bound to SSO all the same")
        if row.user_id in self._changed:
            self._remark(row, self._changed[row.user_id])
        if ELSEWHERE in row.facts and account.auth_data is None:
            self._remark(row, _ELSEWHERE)
        certain = account.auth_data == row.binding.auth_data
        note = "the binding was seen" if certain else "on SSO; the server does not show the binding"
        if account.auth_data is not None and not certain:
            note = "on SSO; a login has replaced the makeshift binding"
        facts = {**row.facts, FINISHED: "yes", **self._remarked(row)}
        return self._bulk.step(row, Event.VERIFY, note, facts)

    def _changed_profiles(self) -> dict[str, str]:
        """What is said of people whose user name or email is not what `prepare` saw: both are open
        to whoever is at a password.
        """
        if next(self._rows(RowState.RETURNED), None) is None:
            return {}
        found: dict[str, str] = {}
        for known in self._bulk.ledger.inventory():
            account = self.accounts.get(known.user_id)
            if account is None or (known.email, known.username) == (
                account.email,
                account.username,
            ):
                continue
            was = f"was {known.username}, {known.email}; is {account.username}, {account.email}"
            found[known.user_id] = f"the profile was changed: {was}"
        return found

    def _remarked(self, row: Row) -> Mapping[str, str]:
        """What was remarked on this person, by earlier commands too: the report tells it."""
        said = self._said.get(row.user_id)
        if said is None:
            return {}
        former = row.facts[REMARKS].split("\n") if REMARKS in row.facts else []
        return {REMARKS: "\n".join(dict.fromkeys((*former, *said)))}

    # The calls, in threads

    def _restore(self, row: Row) -> None:
        binding = self._better.get(row.user_id, row.binding)
        try:
            self._bulk.server.set_binding(row.user_id, binding.auth_data)
        except DuplicateBinding as error:
            who = self._holder(binding.auth_data)
            raise DuplicateBinding(
                f"{who}: give that account another one or delete it, then return again",
                error.error_id,
                error.request_id,
            ) from error
        if binding.source is Source.EMAIL_FALLBACK:
            self._remark(row, "bound by email as a makeshift; the next SAML login replaces it")

    def _follow_up(self, row: Row) -> None:
        server, capabilities = self._bulk.server, self._bulk.capabilities
        if capabilities.patch_after_auth:
            server.patch_empty(row.user_id)
        if self._enrolled(row):
            server.clear_mfa(row.user_id)
            self._remark(row, "MFA was enrolled while converted; it was cleared")
        if capabilities.put_auth_ends_sessions:
            self._remark_tokens(
                row, len([one for one in server.tokens(row.user_id) if one.is_active])
            )
        if not capabilities.put_auth_ends_sessions or capabilities.warning:
            # Of a release nobody looked at it is not known that the return ends them.
            self._end_password_logins(row)

    def _end_password_logins(self, row: Row) -> None:
        """Logins of before the outage go on; who came in by the password of the outage goes."""
        if not self._bulk.capabilities.sees_sessions:
            self._remark(row, "local mode shows no sessions: logins by password go on, if any")
            return
        since = datetime.fromisoformat(row.facts[MOVED]) if MOVED in row.facts else row.updated_at
        now, tokens, ended = self._bulk.clock(), 0, 0
        for session in self._bulk.server.sessions(row.user_id):
            if session.created_at < since:
                continue
            if session.is_token:
                tokens += 1
            elif session.live(now) and not session.is_saml:
                self._bulk.server.revoke_session(row.user_id, session.id)
                ended += 1
        if ended:
            self._remark(row, f"had logged in by password; {ended} such logins were ended")
        if not self._bulk.capabilities.put_auth_ends_sessions:
            self._remark_tokens(row, tokens)

    def _remark_tokens(self, row: Row, tokens: int) -> None:
        """A token outlives the return and all logins: only a person can tell whether it is good."""
        if not tokens:
            return
        known = "" if not self._bulk.capabilities.put_auth_ends_sessions else ", perhaps before"
        says = f"{tokens} personal access tokens came into use while converted{known}"
        self._remark(row, f"{says}: look at them, they go on working")

    def _enrolled(self, row: Row) -> bool:
        """Whether MFA is active now and was not by the inventory: then it came by the password."""
        account = self.accounts.get(row.user_id)
        return account is not None and account.mfa_active and not row.mfa_active

    def _holder(self, auth_data: str) -> str:
        """Who holds the binding, as far as this server tells."""
        held = next((one for one in self.accounts.values() if one.auth_data == auth_data), None)
        if self._bulk.capabilities.users_by_auth_data:
            held = self._bulk.server.account_by_auth_data(auth_data) or held
        if held is not None:
            state = "" if held.active else ", which is deactivated"
            return f"the binding is held by the account {held.username} ({held.id}{state})"
        fresh = [one for one in self.accounts.values() if one.auth_service == SAML]
        newest = ", ".join(sorted(self._unknown(fresh))[:_NAMED])
        hint = f"; SAML accounts that the inventory does not know: {newest}" if newest else ""
        return f"another account, which this server does not show, holds the binding{hint}"

    def _unknown(self, accounts: Sequence[Account]) -> set[str]:
        known = {row.user_id for row in self._bulk.ledger.inventory()}
        return {one.username for one in accounts if one.id not in known}

    def _finish(self, rows: Sequence[Row]) -> set[str]:
        """The follow-up of whoever lacks it; gives whom it could not be done for."""
        waiting = [row for row in rows if FINISHED not in row.facts or self._enrolled(row)]
        waiting = [row for row in waiting if row.user_id in self.accounts]
        with ThreadPoolExecutor(max_workers=self._bulk.limits.threads) as pool:
            reasons = list(pool.map(self._finished, waiting))
        failed = [(row, why) for row, why in zip(waiting, reasons, strict=True) if why]
        self.problems += [(row.user_id, f"still to be finished: {why}") for row, why in failed]
        return {row.user_id for row, _ in failed}

    def _finished(self, row: Row) -> str:
        try:
            self._follow_up(row)
        except MattermostError as error:
            return error.detail
        return ""

    def _leave(self, undone: People) -> None:
        """After the last attempt: the rows say what the server says, and why they are open."""
        why = f"undone by concurrent updates {self._bulk.limits.attempts} times: return again later"
        self._step_all(undone, RowState.RETURNED, Event.RETURN, why)
        self._step_all(undone, RowState.RETURNING, Event.FOUND_CONVERTED, why)
        self.problems += [(user_id, why) for user_id in undone]

    def _step_all(self, ids: People, state: RowState, event: Event, why: str) -> None:
        def stepped(row: Row) -> Change | None:
            return self._bulk.step(row, event, why) if row.user_id in ids else None

        for _ in change_each(self._bulk, self._campaign, stepped, state):
            pass

    def _remark(self, row: Row, says: str) -> None:
        self.remarks.append(Remark(row.user_id, says))
        self._said.setdefault(row.user_id, []).append(says)


def _better_bindings(bulk: Bulk, campaign: str) -> dict[str, Binding]:
    """What `prepare` has learnt since about people whose row only has the makeshift."""
    rows = bulk.ledger.rows(campaign, *RETURNABLE, source=Source.EMAIL_FALLBACK)
    makeshift = {row.user_id for row in rows}
    if not makeshift:
        return {}
    return {
        known.user_id: known.binding
        for known in bulk.ledger.inventory()
        if known.user_id in makeshift
        and known.binding is not None
        and known.binding.source is not Source.EMAIL_FALLBACK
    }

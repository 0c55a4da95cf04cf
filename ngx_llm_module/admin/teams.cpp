// /team/*: what several keys share. A team that is deleted takes its keys with it.
#include <algorithm>

#include "ngx_llm_module/admin/sorting.hpp"

namespace llm {
namespace {

constexpr std::string_view kOrders[] = {"team_id", "team_alias", "created_at"};
constexpr std::string_view kNewKnown[] = {"team_id"};
constexpr std::string_view kUpdateKnown[] = {"team_id", "spend", "created_at", "updated_at"};

void write_team(const AdminCall &call, const TeamRecord &team, json::Writer &w) {
    w.object().key("team_id").plain(team.id);
    write_members(team, RecordForm::shown, w);
    write_spend(call, SpendOf::team, team.id, w);
    if (team.is_configured) {
        w.key("source").plain("configuration");
    }
    w.end();
}

AdminAnswer not_found() {
    return admin_error(NGX_HTTP_NOT_FOUND, "does not exist", "team_id");
}

bool apply_body(const AdminCall &call, std::span<const std::string_view> known, TeamRecord &team,
                FieldError &error) {
    std::vector<std::string> stood = named_models(team.models, team.limits);
    if (!apply_members(call.body, known, team, error)) {
        return false;
    }
    error = check_models(call.config, team.models, team.limits, stood);
    return error.param.empty();
}

struct Subject {
    std::string id;
    Loaded<TeamRecord> team;
    std::optional<AdminAnswer> refusal;
};

Subject target_of(const AdminCall &call, const std::string &id) {
    Subject target;
    target.id = id;
    if (id.empty()) {
        target.refusal = admin_error(NGX_HTTP_BAD_REQUEST, "must be given", "team_id");
    } else if (call.config.teams.count(id) != 0) {
        target.refusal =
            admin_error(NGX_HTTP_BAD_REQUEST, "is set by llm_team and changed there", "team_id");
    } else {
        target.team = load_record<TeamRecord>(call, RecordKind::team, id);
        if (!target.team.exists) {
            target.refusal = not_found();
        }
    }
    return target;
}

AdminAnswer change_team(AdminCall &call, bool (*change)(const AdminCall &call, TeamRecord &team,
                                                        FieldError &error)) {
    Subject target = target_of(call, call.text("team_id"));
    if (target.refusal) {
        return std::move(*target.refusal);
    }
    TeamRecord &team = target.team.record;
    FieldError error;
    if (!change(call, team, error)) {
        return bad(error);
    }
    team.updated = call.now;
    AdminAnswer answer;
    json::Writer w(answer.body);
    w.object().key("team_id").plain(team.id).key("data");
    write_team(call, team, w);
    w.end();
    store_record(answer, RecordKind::team, team.id, team, target.team.version);
    return answer;
}

bool update(const AdminCall &call, TeamRecord &team, FieldError &error) {
    return keeps_what_stands(call, team.created, SpendOf::team, team.id, error) &&
           apply_body(call, kUpdateKnown, team, error);
}

std::vector<TeamRecord> all_teams(const AdminCall &call) {
    std::vector<TeamRecord> teams;
    for (const auto &[id, team] : call.config.teams) {
        teams.push_back(*team);
    }
    for_each_with(call.config, RecordKind::team, {}, {},
                  [&](const std::string &id, const std::string &json, uint64_t) {
                      TeamRecord team;
                      if (call.config.teams.count(id) == 0 && read_stored(json, id, team)) {
                          teams.push_back(std::move(team));
                      }
                  });
    return teams;
}

Rank rank_of(std::string_view by, const TeamRecord &team) {
    Rank rank;
    rank.id = team.id;
    if (by == "created_at") {
        rank.set_number(team.created.order(), team.created.is_known());
    } else if (by == "team_alias") {
        rank.set_text(team.alias);
    }
    return rank;
}

template <bool is_blocked>
bool set_blocked(const AdminCall &call, TeamRecord &team, FieldError &error) {
    team.is_blocked = is_blocked;
    return has_only(call, {"team_id"}, error);
}

}  // namespace

AdminAnswer team_new(AdminCall &call) {
    TeamRecord team;
    FieldError error;
    if (!apply_body(call, kNewKnown, team, error)) {
        return bad(error);
    }
    if (!is_text(call, "team_id") || !choose_id(call.text("team_id"), team.id)) {
        return admin_error(NGX_HTTP_BAD_REQUEST, "cannot be an id", "team_id");
    }
    Loaded<TeamRecord> before = load_record<TeamRecord>(call, RecordKind::team, team.id);
    if (before.exists || call.config.teams.count(team.id) != 0) {
        return admin_error(NGX_HTTP_BAD_REQUEST, "already exists", "team_id");
    }
    team.created = this_moment();
    team.updated = team.created.time;
    AdminAnswer answer;
    json::Writer w(answer.body);
    write_team(call, team, w);
    store_record(answer, RecordKind::team, team.id, team, before.version);
    return answer;
}

AdminAnswer team_info(AdminCall &call) {
    std::string id = call.argument("team_id");
    if (id.empty()) {
        return admin_error(NGX_HTTP_BAD_REQUEST, "must be given", "team_id");
    }
    auto configured = call.config.teams.find(id);
    Loaded<TeamRecord> stored;
    if (configured == call.config.teams.end()) {
        stored = load_record<TeamRecord>(call, RecordKind::team, id);
        if (!stored.exists) {
            return not_found();
        }
    }
    AdminAnswer answer;
    json::Writer w(answer.body);
    w.object().key("team_id").plain(id).key("team_info");
    write_team(call, stored.exists ? stored.record : *configured->second, w);
    w.key("keys");
    write_keys_of(call, "team_id", id, w);
    w.key("team_memberships").array().end().end();
    return answer;
}

AdminAnswer team_list(AdminCall &call) {
    AdminAnswer answer;
    json::Writer w(answer.body);
    w.array();
    for (const TeamRecord &team : all_teams(call)) {
        write_team(call, team, w);
    }
    w.end();
    return answer;
}

// team_id is a whole one, team_alias a part.
AdminAnswer team_list_in_pages(AdminCall &call) {
    Page page = page_of(call, 10);
    bool is_sorted = !call.argument("sort_by").empty();
    Order order = order_of(call, kOrders, "created_at", !is_sorted);
    if (!page.error.param.empty() || !order.error.param.empty()) {
        return bad(page.error.param.empty() ? order.error : page.error);
    }
    std::string id = call.argument("team_id");
    std::string part = lower_case(call.argument("team_alias"));
    std::vector<std::pair<Rank, TeamRecord>> found;
    for (TeamRecord &team : all_teams(call)) {
        if ((id.empty() || team.id == id) && lower_case(team.alias).find(part) != team.alias.npos) {
            Rank rank = rank_of(order.by, team);
            found.emplace_back(std::move(rank), std::move(team));
        }
    }
    std::sort(found.begin(), found.end(),
              [&](const auto &a, const auto &b) { return order(a.first, b.first); });
    AdminAnswer answer;
    json::Writer w(answer.body);
    w.object().key("teams").array();
    for (size_t i = page.first(); i < found.size() && i < page.first() + page.size; i++) {
        write_team(call, found[i].second, w);
    }
    w.end().key("total").number(int64_t(found.size()));
    w.key("page").number(int64_t(page.number)).key("page_size").number(int64_t(page.size));
    w.key("total_pages").number(int64_t(page.count(found.size()))).end();
    return answer;
}

AdminAnswer team_update(AdminCall &call) {
    return change_team(call, update);
}

AdminAnswer team_block(AdminCall &call) {
    return change_team(call, set_blocked<true>);
}

AdminAnswer team_unblock(AdminCall &call) {
    return change_team(call, set_blocked<false>);
}

AdminAnswer team_delete(AdminCall &call) {
    if (FieldError error; !has_only(call, {"team_ids"}, error)) {
        return bad(error);
    }
    AdminAnswer answer;
    json::Writer w(answer.body);
    size_t keys = 0;
    std::vector<std::string> ids = call.texts("team_ids");
    w.object().key("deleted_teams").array();
    for (size_t i = 0; i < ids.size(); i++) {
        if (std::find(ids.begin(), ids.begin() + ptrdiff_t(i), ids[i]) !=
            ids.begin() + ptrdiff_t(i)) {
            continue;
        }
        Subject target = target_of(call, ids[i]);
        if (target.refusal) {
            return std::move(*target.refusal);
        }
        delete_record(answer, RecordKind::team, ids[i], target.team.version);
        keys += delete_keys_of(call, "team_id", ids[i], answer);
        w.plain(ids[i]);
    }
    w.end().key("deleted_keys").number(int64_t(keys)).end();
    if (ids.empty()) {
        return admin_error(NGX_HTTP_BAD_REQUEST, "must be given", "team_ids");
    }
    return answer;
}

}  // namespace llm

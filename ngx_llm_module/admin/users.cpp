// /user/*: who owns keys, and /customer/*: whom the requests of a key are for. Both are records of
// one form, kept apart; a customer's id is what requests say ("user").
#include <algorithm>

#include "ngx_llm_module/admin/sorting.hpp"
#include "ngx_llm_module/policy/limits_json.hpp"

namespace llm {
namespace {

// Of the key that a new user gets.
constexpr std::string_view kOfKey[] = {"key_alias", "team_id", "aliases", "permissions"};
constexpr std::string_view kNewUserKnown[] = {
    "user_id", "auto_create_key", "duration", "key_alias", "team_id", "aliases", "permissions"};
constexpr std::string_view kNewCustomerKnown[] = {"user_id"};
constexpr std::string_view kUpdateKnown[] = {"user_id", "spend", "created_at", "updated_at"};
// That records of one form have, and customers no use for.
constexpr std::string_view kNotOfCustomers[] = {"models", "user_email", "user_role"};

constexpr std::string_view kUserOrders[] = {"user_id", "user_alias", "user_email", "created_at",
                                            "spend"};

struct Resource {
    RecordKind kind;
    SpendOf spends;
    bool is_customer;
    std::span<const std::string_view> known_when_new;  // members that are read here
};

constexpr Resource kUsers = {RecordKind::user, SpendOf::user, false, kNewUserKnown};
constexpr Resource kCustomers = {RecordKind::customer, SpendOf::customer, true, kNewCustomerKnown};

bool is_said(const AdminCall &call, std::string_view name) {
    json::Value value = call.body[name];
    return !value.absent() && !says_nothing(value);
}

void write_members_of(const Resource &resource, const AdminCall &call, const UserRecord &user,
                      json::Writer &w) {
    w.key("user_id").plain(user.id);
    write_members(user, RecordForm::shown, resource.is_customer, w);
    write_spend(call, resource.spends, user.id, w);
}

void write_user(const Resource &resource, const AdminCall &call, const UserRecord &user,
                json::Writer &w) {
    w.object();
    write_members_of(resource, call, user, w);
    w.end();
}

bool apply_body(const Resource &resource, const AdminCall &call,
                std::span<const std::string_view> known, UserRecord &user, FieldError &error) {
    std::vector<std::string> stood = named_models(user.models, user.limits);
    if (!apply_members(call.body, known, user, error)) {
        return false;
    }
    for (std::string_view name : kNotOfCustomers) {
        if (resource.is_customer && is_said(call, name)) {
            error = {std::string(name), "is not supported for customers"};
            return false;
        }
    }
    error = check_models(call.config, user.models, user.limits, stood);
    return error.param.empty();
}

AdminAnswer make_user(const Resource &resource, AdminCall &call, UserRecord &user) {
    FieldError error;
    if (!apply_body(resource, call, resource.known_when_new, user, error)) {
        return bad(error);
    }
    std::string given = call.text("user_id");
    bool is_missing = given.empty() && resource.is_customer;
    if (is_missing || !is_text(call, "user_id") || !choose_id(given, user.id)) {
        return admin_error(NGX_HTTP_BAD_REQUEST, is_missing ? "must be given" : "cannot be an id",
                           "user_id");
    }
    Loaded<UserRecord> before = load_record<UserRecord>(call, resource.kind, user.id);
    if (before.exists) {
        // LiteLLM's statuses.
        return admin_error(resource.is_customer ? NGX_HTTP_BAD_REQUEST : NGX_HTTP_CONFLICT,
                           "already exists", "user_id");
    }
    user.created = this_moment();
    user.updated = user.created.time;
    AdminAnswer answer;
    store_record(answer, resource.kind, user.id, user, before.version);
    return answer;
}

// Nothing has this id.
AdminAnswer not_found(const std::string &id, std::string_view param) {
    return id.empty() ? admin_error(NGX_HTTP_BAD_REQUEST, "must be given", param)
                      : admin_error(NGX_HTTP_NOT_FOUND, "does not exist", param);
}

AdminAnswer update_user(const Resource &resource, AdminCall &call) {
    std::string id = call.text("user_id");
    Loaded<UserRecord> loaded = load_record<UserRecord>(call, resource.kind, id);
    if (!loaded.exists) {
        return not_found(id, "user_id");
    }
    UserRecord &user = loaded.record;
    FieldError error;
    if (!keeps_what_stands(call, user.created, resource.spends, user.id, error) ||
        !apply_body(resource, call, kUpdateKnown, user, error)) {
        return bad(error);
    }
    user.updated = call.now;
    AdminAnswer answer;
    json::Writer w(answer.body);
    if (resource.is_customer) {
        write_user(resource, call, user, w);
    } else {
        w.object().key("user_id").plain(id).key("data");
        write_user(resource, call, user, w);
        w.end();
    }
    store_record(answer, resource.kind, id, user, loaded.version);
    return answer;
}

// That a call names, each once.
std::vector<std::string> ids_of(const AdminCall &call) {
    std::vector<std::string> ids = call.texts("user_ids");
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
}

AdminAnswer delete_users(const Resource &resource, AdminCall &call) {
    if (FieldError error; !has_only(call, {"user_ids"}, error)) {
        return bad(error);
    }
    AdminAnswer answer;
    json::Writer w(answer.body);
    std::vector<std::string> ids = ids_of(call);
    size_t keys = 0;
    for (const std::string &id : ids) {
        Loaded<UserRecord> loaded = load_record<UserRecord>(call, resource.kind, id);
        if (!loaded.exists) {
            return admin_error(NGX_HTTP_NOT_FOUND, "has one that does not exist", "user_ids");
        }
        delete_record(answer, resource.kind, id, loaded.version);
        if (!resource.is_customer) {
            keys += delete_keys_of(call, "user_id", id, answer);
        }
    }
    if (ids.empty()) {
        return admin_error(NGX_HTTP_BAD_REQUEST, "must be given", "user_ids");
    }
    w.object().key(resource.is_customer ? "deleted_customers" : "deleted_users");
    w.number(int64_t(ids.size()));
    if (!resource.is_customer) {
        w.key("deleted_keys").number(int64_t(keys));
    }
    w.end();
    return answer;
}

std::vector<UserRecord> all_users(const Resource &resource, const AdminCall &call) {
    std::vector<UserRecord> users;
    for_each_with(call.config, resource.kind, {}, {},
                  [&](const std::string &id, const std::string &json, uint64_t) {
                      if (UserRecord user; read_stored(json, id, user)) {
                          users.push_back(std::move(user));
                      }
                  });
    std::sort(users.begin(), users.end(),
              [](const UserRecord &a, const UserRecord &b) { return a.id < b.id; });
    return users;
}

Rank rank_of(const AdminCall &call, std::string_view by, const UserRecord &user) {
    Rank rank;
    rank.id = user.id;
    if (by == "created_at") {
        rank.set_number(user.created.order(), user.created.is_known());
    } else if (by == "user_alias") {
        rank.set_text(user.alias);
    } else if (by == "user_email") {
        rank.set_text(user.email);
    } else if (by == "spend") {
        rank.number = spent_by_all(call.config, SpendOf::user, user.id).cost;
    }
    return rank;
}

// user_ids of the query, with commas between them, and user_email, a part of it.
bool is_wanted(const AdminCall &call, const UserRecord &user) {
    std::string ids = call.argument("user_ids");
    std::string email = call.argument("user_email");
    bool is_named = ids.empty() || ("," + ids + ",").find("," + user.id + ",") != std::string::npos;
    return is_named && lower_case(user.email).find(lower_case(email)) != std::string::npos;
}

// A customer needs no record to be named by requests, so it needs none to be blocked.
AdminAnswer set_blocked(AdminCall &call, bool is_blocked) {
    if (FieldError error; !has_only(call, {"user_ids"}, error)) {
        return bad(error);
    }
    AdminAnswer answer;
    json::Writer w(answer.body);
    std::vector<std::string> ids = ids_of(call);
    w.object().key("blocked_users").array();
    for (const std::string &given : ids) {
        Loaded<UserRecord> loaded = load_record<UserRecord>(call, RecordKind::customer, given);
        UserRecord &customer = loaded.record;
        if (given.empty() || !choose_id(given, customer.id)) {
            return admin_error(NGX_HTTP_BAD_REQUEST, "has one that cannot be an id", "user_ids");
        }
        customer.created = loaded.exists ? customer.created : this_moment();
        customer.updated = call.now;
        customer.is_blocked = is_blocked;
        write_user(kCustomers, call, customer, w);
        store_record(answer, RecordKind::customer, given, customer, loaded.version);
    }
    w.end().end();
    if (ids.empty()) {
        return admin_error(NGX_HTTP_BAD_REQUEST, "must be given", "user_ids");
    }
    return answer;
}

}  // namespace

// As LiteLLM does, a user begins with a key, unless auto_create_key is false.
AdminAnswer user_new(AdminCall &call) {
    UserRecord user;
    AdminAnswer answer = make_user(kUsers, call, user);
    if (answer.changes.empty()) {
        return answer;
    }
    json::Writer w(answer.body);
    json::Value wants_key = call.body["auto_create_key"];
    if (!wants_key.is_unset() && !wants_key.is_bool()) {
        return bad({"auto_create_key", "must be true or false"});
    }
    if (wants_key.is_bool() && !wants_key.is_true()) {
        for (std::string_view name : kNewUserKnown) {
            if (name != "user_id" && is_said(call, name)) {
                return bad({std::string(name), "is for a key, and auto_create_key is false"});
            }
        }
        write_user(kUsers, call, user, w);
        return answer;
    }
    KeyRecord key;
    FieldError error;
    key.user = user.id;
    if (!apply_only(call.body, kOfKey, key, error) || !read_expiry(call, key.expires, error)) {
        return bad(error);
    }
    error = check_key(call, key);
    if (!error.param.empty()) {
        return bad(error);
    }
    std::string secret;
    AdminAnswer made = make_key(call, key, secret);
    if (made.changes.empty()) {
        return made;
    }
    answer.changes.insert(answer.changes.end(), made.changes.begin(), made.changes.end());
    w.object();
    write_secret(key, secret, w);
    Members of_key(RecordForm::shown, w);
    of_key.text("key_alias", key.alias);
    of_key.text("team_id", key.team);
    of_key.time("expires", key.expires);
    write_members_of(kUsers, call, user, w);
    w.end();
    return answer;
}

AdminAnswer user_info(AdminCall &call) {
    std::string id = call.argument("user_id");
    Loaded<UserRecord> loaded = load_record<UserRecord>(call, RecordKind::user, id);
    if (!loaded.exists) {
        return not_found(id, "user_id");
    }
    AdminAnswer answer;
    json::Writer w(answer.body);
    w.object().key("user_id").plain(id).key("user_info");
    write_user(kUsers, call, loaded.record, w);
    w.key("keys");
    write_keys_of(call, "user_id", id, w);
    w.key("teams").array().end().end();
    return answer;
}

AdminAnswer user_list(AdminCall &call) {
    Page page = page_of(call, 25);
    Order order = order_of(call, kUserOrders, "", false);
    if (!page.error.param.empty() || !order.error.param.empty()) {
        return bad(page.error.param.empty() ? order.error : page.error);
    }
    std::vector<std::pair<Rank, UserRecord>> users;
    for (UserRecord &user : all_users(kUsers, call)) {
        if (is_wanted(call, user)) {
            Rank rank = rank_of(call, order.by, user);
            users.emplace_back(std::move(rank), std::move(user));
        }
    }
    std::sort(users.begin(), users.end(),
              [&](const auto &a, const auto &b) { return order(a.first, b.first); });
    AdminAnswer answer;
    json::Writer w(answer.body);
    w.object().key("users").array();
    for (size_t i = page.first(); i < users.size() && i < page.first() + page.size; i++) {
        write_user(kUsers, call, users[i].second, w);
    }
    w.end().key("total").number(int64_t(users.size()));
    w.key("page").number(int64_t(page.number)).key("page_size").number(int64_t(page.size));
    w.key("total_pages").number(int64_t(page.count(users.size()))).end();
    return answer;
}

// As /user/list shows them, who spent most first.
AdminAnswer spend_users(AdminCall &call) {
    std::string id = call.argument("user_id");
    std::vector<std::pair<Rank, UserRecord>> users;
    for (UserRecord &user : all_users(kUsers, call)) {
        if (id.empty() || user.id == id) {
            Rank rank = rank_of(call, "spend", user);
            users.emplace_back(std::move(rank), std::move(user));
        }
    }
    std::sort(users.begin(), users.end(),
              [](const auto &a, const auto &b) { return b.first < a.first; });
    AdminAnswer answer;
    json::Writer w(answer.body);
    w.array();
    for (const auto &[rank, user] : users) {
        write_user(kUsers, call, user, w);
    }
    w.end();
    return answer;
}

AdminAnswer user_update(AdminCall &call) {
    return update_user(kUsers, call);
}

AdminAnswer user_delete(AdminCall &call) {
    return delete_users(kUsers, call);
}

AdminAnswer customer_new(AdminCall &call) {
    UserRecord customer;
    AdminAnswer answer = make_user(kCustomers, call, customer);
    if (!answer.changes.empty()) {
        json::Writer w(answer.body);
        write_user(kCustomers, call, customer, w);
    }
    return answer;
}

AdminAnswer customer_info(AdminCall &call) {
    std::string id = call.argument("end_user_id");
    Loaded<UserRecord> loaded = load_record<UserRecord>(call, RecordKind::customer, id);
    if (!loaded.exists) {
        return not_found(id, "end_user_id");
    }
    AdminAnswer answer;
    json::Writer w(answer.body);
    write_user(kCustomers, call, loaded.record, w);
    return answer;
}

AdminAnswer customer_list(AdminCall &call) {
    AdminAnswer answer;
    json::Writer w(answer.body);
    w.array();
    for (const UserRecord &customer : all_users(kCustomers, call)) {
        write_user(kCustomers, call, customer, w);
    }
    w.end();
    return answer;
}

AdminAnswer customer_update(AdminCall &call) {
    return update_user(kCustomers, call);
}

AdminAnswer customer_delete(AdminCall &call) {
    return delete_users(kCustomers, call);
}

AdminAnswer customer_block(AdminCall &call) {
    return set_blocked(call, true);
}

AdminAnswer customer_unblock(AdminCall &call) {
    return set_blocked(call, false);
}

}  // namespace llm

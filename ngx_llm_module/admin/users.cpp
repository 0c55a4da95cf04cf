// /user/*: who owns keys, and /customer/*: whom the requests of a key are for. Both are records of
// one form, kept apart; a customer's id is what requests say ("user").
#include <algorithm>

#include "ngx_llm_module/admin/resource.hpp"

namespace llm {
namespace {

constexpr std::string_view kUserKnown[] = {"user_id", "auto_create_key", "duration"};
constexpr std::string_view kCustomerKnown[] = {"user_id"};

struct Resource {
    RecordKind kind;
    bool is_customer;
};

constexpr Resource kUsers = {RecordKind::user, false};
constexpr Resource kCustomers = {RecordKind::customer, true};

void write_user(const Resource &resource, const AdminCall &call, const UserRecord &user,
                json::Writer &w) {
    w.object().key("user_id").plain(user.id);
    write_members(user, RecordForm::shown, resource.is_customer, w);
    write_spend(call, resource.is_customer ? SpendOf::customer : SpendOf::user, user.id, w);
    w.end();
}

AdminAnswer bad(const FieldError &error) {
    return admin_error(NGX_HTTP_BAD_REQUEST, error.what, error.param);
}

bool apply_body(const Resource &resource, const AdminCall &call, UserRecord &user,
                FieldError &error) {
    if (!(resource.is_customer ? apply_members(call.body, kCustomerKnown, user, error)
                               : apply_members(call.body, kUserKnown, user, error))) {
        return false;
    }
    if (resource.is_customer && !user.models.empty()) {
        error = {"models", "is not supported for customers"};
        return false;
    }
    error = check_models(call.config, user.models, user.limits);
    return error.param.empty();
}

AdminAnswer make_user(const Resource &resource, AdminCall &call, UserRecord &user) {
    FieldError error;
    if (!apply_body(resource, call, user, error)) {
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
        return admin_error(NGX_HTTP_CONFLICT, "exists already", "user_id");
    }
    user.created = user.updated = call.now;
    AdminAnswer answer;
    store_record(answer, resource.kind, user.id, user, before.version);
    return answer;
}

AdminAnswer update_user(const Resource &resource, AdminCall &call) {
    std::string id = call.text("user_id");
    Loaded<UserRecord> loaded = load_record<UserRecord>(call, resource.kind, id);
    if (!loaded.exists) {
        return admin_error(NGX_HTTP_NOT_FOUND, "does not exist", "user_id");
    }
    UserRecord &user = loaded.record;
    FieldError error;
    if (!apply_body(resource, call, user, error)) {
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

// A customer needs no record to be named by requests, so it needs none to be blocked.
AdminAnswer set_blocked(AdminCall &call, bool is_blocked) {
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
        customer.created = loaded.exists ? customer.created : call.now;
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
    std::optional<bool> wants_key = call.body["auto_create_key"].as_bool();
    if (wants_key.value_or(true)) {
        KeyRecord key;
        key.user = user.id;
        if (!call.body["duration"].is_unset()) {
            int64_t seconds = parse_duration(call.text("duration"));
            if (seconds < 0) {
                return bad({"duration", "must be a time such as 30s, 15m, 12h or 30d"});
            }
            key.expires = call.now + seconds;
        }
        AdminAnswer with_key = make_key(call, std::move(key), {});
        with_key.changes.insert(with_key.changes.begin(), answer.changes.begin(),
                                answer.changes.end());
        return with_key;
    }
    json::Writer w(answer.body);
    write_user(kUsers, call, user, w);
    return answer;
}

AdminAnswer user_info(AdminCall &call) {
    std::string id = call.argument("user_id");
    Loaded<UserRecord> loaded = load_record<UserRecord>(call, RecordKind::user, id);
    if (!loaded.exists) {
        return admin_error(NGX_HTTP_NOT_FOUND, "does not exist", "user_id");
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
    if (!page.error.param.empty()) {
        return bad(page.error);
    }
    std::vector<UserRecord> users = all_users(kUsers, call);
    AdminAnswer answer;
    json::Writer w(answer.body);
    w.object().key("users").array();
    for (size_t i = page.first(); i < users.size() && i < page.first() + page.size; i++) {
        write_user(kUsers, call, users[i], w);
    }
    w.end().key("total").number(int64_t(users.size()));
    w.key("page").number(int64_t(page.number)).key("page_size").number(int64_t(page.size));
    w.key("total_pages").number(int64_t(page.count(users.size()))).end();
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
        return admin_error(NGX_HTTP_NOT_FOUND, "does not exist", "end_user_id");
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

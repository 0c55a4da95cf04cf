#include "ngx_llm_module/admin/admin.hpp"

#include <algorithm>

#include "ngx_llm_module/admin/resource.hpp"
#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/base/pool.hpp"
#include "ngx_llm_module/policy/budget_floors.hpp"
#include "ngx_llm_module/policy/identify.hpp"
#include "ngx_llm_module/policy/redis_floors.hpp"
#include "ngx_llm_module/policy/shared_records.hpp"
#include "ngx_llm_module/policy/shared_spend.hpp"
#include "ngx_llm_module/policy/zone_counter.hpp"
#include "ngx_llm_module/request/access.hpp"
#include "ngx_llm_module/request/handler.hpp"
#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/reply.hpp"
#include "ngx_llm_module/state/state_keeper.hpp"
#include "ngx_llm_module/upstream/worker.hpp"

namespace llm {

// The handlers stand in files of their own, the table is all that needs to know them.
#define LLM_ADMIN_ROUTE(method, path, handler, parameters) AdminAnswer handler(AdminCall &call);
#define LLM_ADMIN_OPEN(method, path, handler) AdminAnswer handler(AdminCall &call);
#include "ngx_llm_module/admin/routes.def"

namespace {

constexpr size_t kMaxBody = 1024 * 1024;
constexpr int kTries = 64;   // when others change the same record, or any
constexpr int kReturns = 8;  // when another machine has changed it
// Two machines that begin anew at one moment would overtake each other again.
constexpr ngx_msec_t kScatter = 20;
constexpr ngx_msec_t kPause = 5;  // while another change of it is on its way to Redis
constexpr ngx_msec_t kMostPause = 3000;

struct Route {
    ngx_uint_t method;
    std::string_view path;
    AdminHandler run;
    bool is_open;
    std::string_view parameters;  // that the query may have, with blanks between them
};

#define LLM_ADMIN_ROUTE(method, path, handler, parameters) \
    {NGX_HTTP_##method, path, handler, false, parameters},
#define LLM_ADMIN_OPEN(method, path, handler) {NGX_HTTP_##method, path, handler, true, {}},
constexpr Route kRoutes[] = {
#include "ngx_llm_module/admin/routes.def"
};

bool fits(std::string_view pattern, std::string_view path, std::string_view &part) {
    size_t star = pattern.find('*');
    if (star == std::string_view::npos) {
        return pattern == path;
    }
    std::string_view before = pattern.substr(0, star);
    std::string_view behind = pattern.substr(star + 1);
    if (path.size() <= before.size() + behind.size() || !path.starts_with(before) ||
        !path.ends_with(behind)) {
        return false;
    }
    part = path.substr(before.size(), path.size() - before.size() - behind.size());
    return part.find('/') == std::string_view::npos;
}

// Of a query, unescaped.
std::string plain_text(std::string_view text) {
    std::string value(text);
    std::replace(value.begin(), value.end(), '+', ' ');
    auto *from = reinterpret_cast<u_char *>(value.data());
    auto *to = from;
    ngx_unescape_uri(&to, &from, value.size(), 0);
    value.resize(size_t(to - reinterpret_cast<u_char *>(value.data())));
    return value;
}

struct Parameter {
    std::string_view name;
    std::string value;
};

// Takes the first one from the query. Names stand there as they are: what is masked in the log is
// found by its name, too.
Parameter next_parameter(std::string_view &query) {
    std::string_view one = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), one.size() + 1));
    size_t end = std::min(one.size(), one.find('='));
    return {one.substr(0, end), plain_text(one.substr(std::min(one.size(), end + 1)))};
}

bool has_word(std::string_view words, std::string_view wanted) {
    while (!words.empty()) {
        std::string_view word = words.substr(0, words.find(' '));
        if (word == wanted) {
            return true;
        }
        words.remove_prefix(std::min(words.size(), word.size() + 1));
    }
    return false;
}

constexpr std::string_view kFlags = "return_full_object include_created_by_keys include_team_keys";

// The first parameter that is wrong, or nothing. One that says nothing may be unknown, as in
// bodies; one that chooses must say what, or it would choose everything. `key` may be the one that
// the caller came with.
FieldError wrong_parameter(const Route &route, std::string_view query, const std::string &own_key) {
    std::vector<std::string_view> seen;
    while (!route.is_open && !query.empty()) {
        auto [name, value] = next_parameter(query);
        bool says_nothing = value.empty() || value == "false" || value == "False";
        if (!has_word(route.parameters, name)) {
            if (says_nothing || (name == "key" && value == own_key)) {
                continue;
            }
            return {std::string(name.empty() ? "=" : name), "is not supported"};
        }
        if (value.empty()) {
            return {std::string(name), "is empty: leave it out, or say what is meant"};
        }
        if (has_word(kFlags, name) && !flag_of(value)) {
            return {std::string(name), "must be true or false"};
        }
        if (std::find(seen.begin(), seen.end(), name) != seen.end()) {
            return {std::string(name), "stands there twice"};
        }
        seen.push_back(name);
    }
    return {};
}

AdminAnswer too_fast() {
    return admin_error(NGX_HTTP_CONFLICT, "others are changing this, too: try again");
}

AdminAnswer refusal(Shared how) {
    switch (how) {
        case Shared::clash:
            return bad(alias_is_taken());
        case Shared::unknown:
            return admin_error(NGX_HTTP_INTERNAL_SERVER_ERROR,
                               "Redis did not answer: the change will be withdrawn, unless another "
                               "machine has changed the same by then");
        case Shared::stale:
            return too_fast();
        case Shared::taken:
        case Shared::refused:
            break;
    }
    return admin_error(NGX_HTTP_INTERNAL_SERVER_ERROR,
                       "the change could not be stored and was not made");
}

// One call on its way to the disk and to Redis.
class AdminTask final : public StoreWaiter, public ShareWaiter, public SpendWaiter {
  public:
    AdminTask(LlmRequest &request, const Route &route, std::string_view part,
              const std::string &own_key)
        : request_(request),
          route_(route),
          part_(part),
          query_(view(request.r->args)),
          wrong_(wrong_parameter(route, query_, own_key)) {}
    ~AdminTask() {
        forget_store(*this);
        forget_share(*this);
        forget_raise(*this);
        forget_refresh(*this);
        if (pause_.timer_set) {
            ngx_del_timer(&pause_);
        }
        if (step_ == Step::disk) {
            take_back_here();
        }
        if (step_ == Step::disk || step_ == Step::redis) {
            note_what_holds();  // nobody was told that the change does
            store_changes(answer_.changes);
        }
    }

    // What is shown, and what budgets are compared with, is what holds at all machines, as far as
    // Redis can be asked.
    void begin();
    void on_spend() override { go_on(); }
    void on_stored(bool is_stored) override;
    void on_shared(Shared how) override;

  private:
    enum class Change : uint8_t { made, none, wait };

    void run();
    void go_on();
    Change change();
    void pause(ngx_msec_t time);
    static void on_pause_over(ngx_event_t *ev);
    void take_back_here();
    void note_what_holds();
    bool would_unblock() const;
    void send(AdminAnswer answer);

    LlmRequest &request_;
    const Route &route_;
    std::string part_;
    std::string query_;
    FieldError wrong_;  // in the query
    AdminAnswer answer_;
    std::vector<RecordChange> seen_;  // the changes of the first time, with what was before them
    int returns_ = 0;
    ngx_event_t pause_ = {};
    ngx_msec_t paused_ = 0;
    bool is_stale_ = false;
    std::vector<BudgetOwner> owners_;  // of budgets that are written
    std::vector<BudgetFloor> floors_;  // what was spent by them
    AdminAnswer refusal_;
    // Before and behind it the change is none, or acknowledged.
    enum class Step : uint8_t { none, disk, redis, budgets, back } step_ = Step::none;
};

// Handlers see the records as they are, and ask for changes of what they saw.
AdminTask::Change AdminTask::change() {
    for (int i = 0; i < kTries; i++) {
        Result<json::Value> root =
            worker().parse_unpadded(request_.body.view().empty() ? "{}" : request_.body.view());
        if (root && root->is_null() && route_.method == NGX_HTTP_GET) {
            root = worker().parse_unpadded("{}");  // as clients say that they send none
        }
        if (!root || !root->is_object()) {
            answer_ = admin_error(NGX_HTTP_BAD_REQUEST, "the body must be a JSON object");
            return Change::none;
        }
        // A filter there would be none, and the whole list the answer.
        if (FieldError error; route_.method == NGX_HTTP_GET && !check_members(*root, {}, error)) {
            answer_ = admin_error(NGX_HTTP_BAD_REQUEST, "stands in a body, which GET has none of",
                                  error.param);
            return Change::none;
        }
        AdminCall call{request_, request_.config, *root, part_, query_, int64_t(ngx_time())};
        uint64_t generation = records_generation(request_.config);
        answer_ = route_.run(call);
        if (answer_.changes.empty()) {
            return Change::none;
        }
        for (RecordChange &change : answer_.changes) {
            change.before = find_record(request_.config, change.kind, change.id).json;
        }
        if (would_unblock()) {
            answer_ = too_fast();
            return Change::none;
        }
        // The zone's counters come before the record, so nobody meets it without them. They stay
        // should the change be taken back: it is what was spent.
        owners_ = owners_of(answer_.changes);
        floors_.clear();
        for (const BudgetOwner &owner : owners_) {
            add_floors(request_.config, owner, floors_);
        }
        for (const BudgetFloor &floor : floors_) {
            raise_in_zone(request_.config, floor);
        }
        std::optional<uint64_t> seen;
        if (call.has_seen_all) {
            seen = generation;
        }
        switch (change_records(request_.config, answer_.changes, seen)) {
            case Changed::done:
                step_ = Step::disk;
                return Change::made;
            case Changed::busy:
                answer_ = too_fast();
                return paused_ < kMostPause ? Change::wait : Change::none;
            case Changed::full:
                ngx_log_error(NGX_LOG_ERR, request_.r->connection->log, 0,
                              "llm: llm_zone is full, a record could not be stored");
                answer_ = admin_error(NGX_HTTP_INSUFFICIENT_STORAGE,
                                      "llm_zone is full: it needs a larger size");
                return Change::none;
            case Changed::conflict:
                break;
        }
    }
    answer_ = too_fast();
    return Change::none;
}

void AdminTask::begin() {
    if (!wrong_.param.empty()) {
        send(bad(wrong_));
        return;
    }
    if (!route_.is_open && refresh_spend(*this)) {
        return;
    }
    run();
}

void AdminTask::go_on() {
    ngx_connection_t *c = request_.r->connection;
    ngx_http_set_log_request(c->log, request_.r);
    run();
    ngx_http_run_posted_requests(c);
}

void AdminTask::run() {
    switch (change()) {
        case Change::made:
            store_changes(answer_.changes, *this);
            return;
        case Change::wait:
            // Made of a record that may not hold, it could be acknowledged and not hold either.
            paused_ += kPause;
            pause(kPause);
            return;
        case Change::none:
            send(std::move(answer_));
            return;
    }
}

void AdminTask::pause(ngx_msec_t time) {
    pause_.handler = guard<on_pause_over>;
    pause_.data = this;
    pause_.log = request_.r->connection->log;
    ngx_add_timer(&pause_, time);
}

void AdminTask::on_pause_over(ngx_event_t *ev) {
    static_cast<AdminTask *>(ev->data)->go_on();
}

// Of the disk and of budgets.
void AdminTask::on_stored(bool is_stored) {
    ngx_connection_t *c = request_.r->connection;
    ngx_http_set_log_request(c->log, request_.r);
    if (step_ == Step::disk && is_stored) {
        step_ = Step::redis;
        share_changes(answer_.changes, *this);
        return;
    }
    if (step_ == Step::disk) {
        take_back_here();
        refusal_ = refusal(Shared::refused);
    } else if (step_ == Step::back && is_stale_ && returns_ < kReturns) {
        // The change is made again from the newer record, so that both machines' changes hold.
        returns_++;
        step_ = Step::none;
        pause(1 + ngx_msec_t(ngx_random()) % kScatter);
        return;
    }
    bool is_made = step_ == Step::budgets;
    step_ = Step::none;
    send(std::move(is_made ? answer_ : refusal_));
    ngx_http_run_posted_requests(c);
}

void AdminTask::on_shared(Shared how) {
    if (how == Shared::taken) {
        step_ = Step::budgets;
        raise_in_redis(std::move(owners_), std::move(floors_), *this);
        return;
    }
    is_stale_ = how == Shared::stale;
    if (is_stale_ && seen_.empty()) {
        seen_ = answer_.changes;
    }
    refusal_ = refusal(how);
    step_ = Step::back;
    note_what_holds();
    store_changes(answer_.changes, *this);
}

// What nobody can rely on must not hold.
void AdminTask::take_back_here() {
    if (!take_back_records(request_.config, answer_.changes)) {
        ngx_log_error(NGX_LOG_ERR, request_.r->connection->log, 0,
                      "llm: llm_zone is full, a change could not be taken back");
    }
    settle_records(request_.config, answer_.changes);
}

// The file has the change already: what is in the zone takes its place.
void AdminTask::note_what_holds() {
    for (RecordChange &change : answer_.changes) {
        StoredRecord now = find_record(request_.config, change.kind, change.id);
        change.json = std::move(now.json);
        change.version = std::max(change.version + 1, now.version);
    }
}

// Another machine has blocked what this call, which could not know of it, would leave open. A
// customer that has no record is open, too.
bool AdminTask::would_unblock() const {
    bool was_blocked = false, leaves_open = false;
    for (const RecordChange &change : answer_.changes) {
        auto seen = std::find_if(seen_.begin(), seen_.end(), [&](const RecordChange &one) {
            return one.kind == change.kind && one.id == change.id;
        });
        bool was_open =
            seen != seen_.end() && (seen->before.empty() || !is_stored_blocked(seen->before));
        was_blocked =
            was_blocked || (was_open && !change.before.empty() && is_stored_blocked(change.before));
        leaves_open = leaves_open || (change.json.empty() ? change.kind == RecordKind::customer
                                                          : !is_stored_blocked(change.json));
    }
    return was_blocked && leaves_open;
}

void AdminTask::send(AdminAnswer answer) {
    if (answer.is_sent) {
        return;
    }
    if (spend_view() != SpendView::own && route_.method == NGX_HTTP_GET) {
        bool has_all = spend_view() == SpendView::all;
        add_header(request_.r, "x-llm-spend", has_all ? "all machines" : "Redis is away");
    }
    request_.ledger.outcome = answer.status < NGX_HTTP_BAD_REQUEST ? Outcome::ok : Outcome::refused;
    request_.downstream.send_whole(answer.status, answer.content_type, std::move(answer.body));
}

void on_body(ngx_http_request_t *r) {
    auto *task = pool_find<AdminTask>(r->pool);
    LlmRequest &request = *find_llm_request(r);
    if (request.body.is_too_large()) {
        reply_error(request, ErrorClass::too_large, "the request body is too large");
        return;
    }
    task->begin();
}

ngx_int_t refuse(LlmRequest &request, ErrorClass error_class, std::string_view what,
                 std::string_view code = {}) {
    (void)ngx_http_discard_request_body(request.r);
    request.r->main->count++;
    if (error_class == ErrorClass::authentication) {
        add_header(request.r, "www-authenticate", "Bearer");
    }
    reply_error(request, error_class, what, code);
    return NGX_DONE;
}

ngx_int_t refuse_method(LlmRequest &request, bool is_post) {
    (void)ngx_http_discard_request_body(request.r);
    request.r->main->count++;
    request.endpoint.allow = is_post ? "POST" : "GET, HEAD";
    ApiError error;
    error.error_class = ErrorClass::invalid_request;
    error.status = NGX_HTTP_NOT_ALLOWED;
    error.message.bytes = is_post ? "method not allowed, use POST" : "method not allowed, use GET";
    reply_error(request, error);
    return NGX_DONE;
}

}  // namespace

std::string AdminCall::argument(std::string_view name) const {
    for (std::string_view rest = query; !rest.empty();) {
        if (Parameter one = next_parameter(rest); one.name == name) {
            return one.value;
        }
    }
    return {};
}

std::string AdminCall::text(std::string_view name) const {
    return std::string(json::unescape(body[name].text(), request.arena));
}

std::vector<std::string> AdminCall::texts(std::string_view name) const {
    std::vector<std::string> list;
    for (json::Value item : body[name].items()) {
        list.emplace_back(json::unescape(item.text(), request.arena));
    }
    return list;
}

AdminAnswer admin_error(ngx_uint_t status, std::string_view what, std::string_view param) {
    AdminAnswer answer;
    answer.status = status;
    json::Writer w(answer.body);
    std::string message(param);
    message.append(param.empty() ? "" : " ").append(what);
    w.object().key("error").object().key("message").plain(message).key("type");
    w.plain(status == NGX_HTTP_NOT_FOUND ? "not_found_error"
            : status < 500               ? "bad_request_error"
                                         : "internal_server_error");
    w.key("param");
    param.empty() ? w.null() : w.plain(param);
    w.key("code").plain(std::to_string(status)).end().end();
    return answer;
}

ngx_int_t handle_admin(ngx_http_request_t *r) {
    if (r != r->main) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    LlmRequest *made = make_llm_request(r);
    if (made == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    LlmRequest &request = *made;
    request.client = &kOpenAi;
    request.endpoint.operation = Operation::admin;
    std::string_view path = path_below(r, request.loc);
    if (path.size() > 1 && path.back() == '/') {
        path.remove_suffix(1);
    }
    const Route *route = nullptr;
    const Route *other_method = nullptr;
    std::string_view part;
    for (const Route &row : kRoutes) {
        if (fits(row.path, path, part)) {
            bool is_same = row.method == r->method ||
                           (row.method == NGX_HTTP_GET && r->method == NGX_HTTP_HEAD);
            (is_same ? route : other_method) = &row;
        }
    }
    std::string key = client_key(r);
    request.identity = identify(request.config, key, int64_t(ngx_time())).identity;
    bool has_task = route != nullptr && pool_new<AdminTask>(r->pool, request, *route, part, key);
    mask_client_key(r);  // the task has the query as it was
    if (!request.identity.is_master && !(route != nullptr && route->is_open)) {
        return request.identity.key == nullptr
                   ? refuse(
                         request, ErrorClass::authentication,
                         key.empty() ? "the master key is required" : "the key is not known here")
                   : refuse(request, ErrorClass::permission, "only the master key may do this");
    }
    if (route == nullptr && other_method != nullptr) {
        return refuse_method(request, other_method->method == NGX_HTTP_POST);
    }
    if (route == nullptr) {
        return refuse(request, ErrorClass::not_found, "unknown path", "unknown_url");
    }
    if (!has_task) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    // What is explained may be as large as what is asked.
    size_t most =
        route->run == explain ? std::max(size_t(request.loc.max_body), kMaxBody) : kMaxBody;
    if (!request.body.expect(r->headers_in.content_length_n, most)) {
        return refuse(request, ErrorClass::too_large, "the request body is too large");
    }
    ngx_int_t rc = ngx_http_read_client_request_body(r, guard<on_body>);
    return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
}

}  // namespace llm

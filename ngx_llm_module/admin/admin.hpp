// The admin API (llm_admin): keys, teams, users and customers at run time, with the master key.
// Paths and members are those of LiteLLM's proxy, so that scripts written for it work.
//
// A resource is a file of handlers, each a row in routes.def. A handler reads the call and returns
// an answer together with the changes of records that it wants: it changes nothing itself.
// admin.cpp makes the changes, all or none, calls the handler again when somebody else was faster,
// sees to it that they are on the disk, and only then answers.
#pragma once

#include <string>
#include <vector>

#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/state/record_table.hpp"
#include "translators/json/writer.hpp"

namespace llm {

struct AdminCall {
    LlmRequest &request;
    const Config &config;
    json::Value body;        // an object; empty where the request has none
    std::string_view part;   // what stood for the * of the route's path
    std::string_view query;  // read it through argument()
    int64_t now = 0;
    // The handler has looked at all records: its changes hold only while none of them changes.
    bool has_seen_all = false;

    // A parameter of the query, unescaped; empty: not given.
    std::string argument(std::string_view name) const;
    // A member of the body that is a string, unescaped; empty: not given.
    std::string text(std::string_view name) const;
    std::vector<std::string> texts(std::string_view name) const;
};

struct AdminAnswer {
    ngx_uint_t status = NGX_HTTP_OK;
    std::string_view content_type = "application/json";
    ByteBuffer body;
    std::vector<RecordChange> changes;
    bool is_sent = false;  // the handler has answered by itself
};

using AdminHandler = AdminAnswer (*)(AdminCall &call);

// {"error":{"message","type","param","code"}}; `what` is shown behind the param's name.
AdminAnswer admin_error(ngx_uint_t status, std::string_view what, std::string_view param = {});

// Content handler of llm_admin.
ngx_int_t handle_admin(ngx_http_request_t *r);

}  // namespace llm

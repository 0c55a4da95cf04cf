// See service_account.hpp.
#include "translators/provider/service_account.hpp"

#include "translators/json/reader.hpp"

namespace llm {

Status parse_service_account(std::string_view text, ServiceAccount &account) {
    json::Reader reader;
    Result<json::Value> root = reader.parse_unpadded(text);
    if (!root || !root->is_object()) {
        return invalid("it is not a JSON object");
    }
    if (!root->find("type").equals("service_account")) {
        return invalid("its \"type\" is not \"service_account\"");
    }
    Arena arena;
    auto read = [&](std::string_view name) {
        return std::string(json::unescape(root->find(name).text(), arena));
    };
    account.client_email = read("client_email");
    account.private_key = read("private_key");
    account.private_key_id = read("private_key_id");
    account.token_uri = read("token_uri");
    if (account.client_email.empty()) {
        return invalid("it has no \"client_email\"");
    }
    if (!account.private_key.starts_with("-----BEGIN ") ||
        account.private_key.find("PRIVATE KEY-----") == std::string::npos) {
        return invalid("its \"private_key\" is not a key in PEM");
    }
    if (!account.token_uri.starts_with("https://") && !account.token_uri.starts_with("http://")) {
        return invalid("it has no \"token_uri\" that is an address");
    }
    return {};
}

}  // namespace llm

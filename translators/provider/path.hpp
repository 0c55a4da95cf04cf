// Addresses as templates: {name} is a variable of the configuration, {model} the name of the
// model, filled in for every request.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llm {

struct UrlVariable {
    std::string_view name;
    std::string_view value;
};

// Appends `text` as one segment of a path: everything but unreserved characters in percents, a
// slash and a colon, too.
void encode_path_segment(std::string_view text, std::string &out);

// Puts the variables into `text`; {model} stays. Empty on success, else the variable that has no
// value. {vertex_host} follows from `region`.
std::string_view expand_variables(std::string_view text, std::span<const UrlVariable> variables,
                                  std::string &out);

// The variables that a template needs from the configuration.
void add_variables(std::string_view text, std::vector<std::string_view> &names);

// A path with {model} replaced.
std::string fill_model(std::string_view path, std::string_view model);

}  // namespace llm

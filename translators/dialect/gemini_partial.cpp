// See gemini_partial.hpp. Members stand in the order in which they were first named. Bounded: 8 MiB
// of text, 100 levels, 64 Ki values; an array may not have gaps of more than what the limit allows.
#include "translators/dialect/gemini_partial.hpp"

#include <charconv>

namespace llm::gemini {

namespace {

constexpr size_t kMaxBytes = 8u << 20;
constexpr size_t kNodeCost = 128;
constexpr size_t kMaxDepth = 100;

}  // namespace

void PartialArguments::clear() {
    root_ = {};
    root_.is = Node::Is::object;
    bytes_ = 0;
}

bool PartialArguments::take(size_t bytes) {
    bytes_ += bytes;
    return bytes_ <= kMaxBytes;
}

PartialArguments::Node *PartialArguments::child_of(Node &parent, std::string_view name) {
    if (parent.is != Node::Is::object && parent.is != Node::Is::unset) {
        return nullptr;
    }
    parent.is = Node::Is::object;
    // Pieces of one value follow each other: the last child is mostly the one.
    for (size_t i = parent.children.size(); i-- > 0;) {
        if (parent.children[i]->name == name) {
            return parent.children[i].get();
        }
    }
    if (!take(kNodeCost + name.size())) {
        return nullptr;
    }
    parent.children.push_back(std::make_unique<Node>());
    parent.children.back()->name = name;
    return parent.children.back().get();
}

PartialArguments::Node *PartialArguments::element_of(Node &parent, size_t index) {
    if (parent.is != Node::Is::array && parent.is != Node::Is::unset) {
        return nullptr;
    }
    parent.is = Node::Is::array;
    while (parent.children.size() <= index) {
        if (!take(kNodeCost)) {
            return nullptr;
        }
        parent.children.push_back(std::make_unique<Node>());
    }
    return parent.children[index].get();
}

// $.a.b[0]['c']: names plain or in quotes, indexes.
PartialArguments::Node *PartialArguments::node_at(std::string_view path, Arena &arena) {
    if (path.empty() || path.front() != '$') {
        return nullptr;
    }
    Node *node = &root_;
    size_t depth = 0;
    for (size_t i = 1; i < path.size() && node != nullptr;) {
        if (++depth > kMaxDepth) {
            return nullptr;
        }
        if (path[i] == '.') {
            size_t end = std::min(path.find_first_of(".[", i + 1), path.size());
            if (end == i + 1) {
                return nullptr;
            }
            node = child_of(*node, json::escape(path.substr(i + 1, end - i - 1), arena).bytes);
            i = end;
            continue;
        }
        if (path[i] != '[' || i + 1 >= path.size()) {
            return nullptr;
        }
        char quote = path[i + 1];
        if (quote == '\'' || quote == '"') {
            size_t end = path.find(quote, i + 2);
            if (end == std::string_view::npos || path.substr(end + 1, 1) != "]") {
                return nullptr;
            }
            node = child_of(*node, json::escape(path.substr(i + 2, end - i - 2), arena).bytes);
            i = end + 2;
            continue;
        }
        size_t index = 0;
        const char *first = path.data() + i + 1;
        auto [stop, error] = std::from_chars(first, path.data() + path.size(), index);
        if (error != std::errc() || stop == path.data() + path.size() || *stop != ']') {
            return nullptr;
        }
        node = element_of(*node, index);
        i = static_cast<size_t>(stop - path.data()) + 1;
    }
    return node;
}

bool PartialArguments::apply(json::Value piece, Arena &arena) {
    Node *node = node_at(json::unescape(piece.find("jsonPath").text(), arena), arena);
    if (node == nullptr || node == &root_ || !node->children.empty()) {
        return false;
    }
    if (json::Value text = piece.find("stringValue"); text.is_string()) {
        if (node->is != Node::Is::text) {
            node->is = Node::Is::text;
            node->value.clear();
        }
        node->value += text.text().bytes;
        return take(text.text().bytes.size());
    }
    for (std::string_view name : {"numberValue", "boolValue"}) {
        json::Value value = piece.find(name);
        if (!value.is_unset()) {
            node->is = Node::Is::value;
            node->value = value.raw().bytes;
            return take(node->value.size());
        }
    }
    if (!piece.find("nullValue").absent()) {
        node->is = Node::Is::value;
        node->value = "null";
    }
    return true;
}

void PartialArguments::write(const Node &node, ByteBuffer &out) {
    switch (node.is) {
        case Node::Is::unset:
            out.append("null");
            return;
        case Node::Is::value:
            out.append(node.value);
            return;
        case Node::Is::text:
            out.append('"');
            out.append(node.value);
            out.append('"');
            return;
        case Node::Is::object:
        case Node::Is::array:
            break;
    }
    bool is_object = node.is == Node::Is::object;
    out.append(is_object ? '{' : '[');
    bool is_first = true;
    for (const std::unique_ptr<Node> &child : node.children) {
        if (!is_first) {
            out.append(',');
        }
        is_first = false;
        if (is_object) {
            out.append('"');
            out.append(child->name);
            out.append("\":");
        }
        write(*child, out);
    }
    out.append(is_object ? '}' : ']');
}

void PartialArguments::write(ByteBuffer &out) const {
    write(root_, out);
}

}  // namespace llm::gemini

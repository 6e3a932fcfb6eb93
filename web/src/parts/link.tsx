import { Anchor, Button, Menu, NavLink, type AnchorProps, type ButtonProps, type MenuItemProps, type NavLinkProps } from "@mantine/core";
import { createLink } from "@tanstack/react-router";
import { forwardRef, type AnchorHTMLAttributes } from "react";

type Native = Omit<AnchorHTMLAttributes<HTMLAnchorElement>, "color" | "style" | keyof AnchorProps | keyof ButtonProps | keyof MenuItemProps | keyof NavLinkProps>;

/** A link within the dashboard that looks like one. */
export const A = createLink(
  forwardRef<HTMLAnchorElement, Omit<AnchorProps, "href"> & Native>(function A(props, ref) {
    return <Anchor ref={ref} {...props} />;
  }),
);

/** A link within the dashboard that looks like a button. */
export const LinkButton = createLink(
  forwardRef<HTMLAnchorElement, Omit<ButtonProps, "href"> & Native>(function LinkButton(props, ref) {
    return <Button component="a" ref={ref} {...props} />;
  }),
);

/** A link within the dashboard in a menu. */
export const LinkItem = createLink(
  forwardRef<HTMLAnchorElement, Omit<MenuItemProps, "href"> & Native>(function LinkItem(props, ref) {
    return <Menu.Item component="a" ref={ref} {...props} />;
  }),
);

/** A link within the dashboard in a list of places. */
export const LinkPlace = createLink(
  forwardRef<HTMLAnchorElement, Omit<NavLinkProps, "href"> & Native>(function LinkPlace(props, ref) {
    return <NavLink component="a" ref={ref} {...props} />;
  }),
);
